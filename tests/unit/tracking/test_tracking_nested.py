"""A client that is tracked already is tracked again: each registry is told, and told once."""

from __future__ import annotations

import asyncio
import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, DefaultHttpxClient, OpenAI
from tracked import Place

import janitor
from janitor.errors import ConfigError
from janitor.testing import Emulated
from janitor.tracking import COUNTERS

THREAD = {"id": "thread_1", "object": "thread", "created_at": 1, "metadata": {}}

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API:DeprecationWarning")


@pytest.fixture
def other(tmp_path: Path, empty_registry: Path, place: Place) -> Place:
    """A second registry."""
    (tmp_path / "other").mkdir()
    shutil.copy(empty_registry, tmp_path / "other" / "janitor.db")
    return Place(tmp_path / "other")


def client_of(api: Emulated, **options: Any) -> OpenAI:  # noqa: ANN401
    return OpenAI(base_url=api.base_url, api_key=api.api_key, max_retries=0, **options)


@pytest.mark.parametrize(
    "between",
    [
        lambda client: client,
        lambda client: client.with_options(timeout=9),
        lambda client: client.copy(default_headers={"x": "y"}),
    ],
    ids=["at once", "with_options", "copy"],
)
def test_both_registries_are_told(
    place: Place, other: Place, api: Emulated, between: Callable[[OpenAI], OpenAI]
) -> None:
    with client_of(api) as client:
        first = janitor.track(client, place.url, metadata={"plan": "trial"}, send=["plan"])
        both = janitor.track(between(first), other.url, metadata={"plan": "paid"})
        made = both.conversations.create()
        both.with_options(timeout=9).conversations.update(made.id, metadata={"a": "b"})
        used = api.server.add_conversation()
        both.responses.create(model="gpt-5", input="x", conversation=used)
        alone = first.conversations.create()
    assert type(both) is OpenAI
    assert made.metadata is not None
    assert made.metadata.keys() == {"plan", "janitor_created_at"}
    told = [("register", made.id), ("touch", used)]
    assert other.told() == told
    assert place.told() == [*told, ("register", alone.id)]
    assert [place.rows()[0].metadata, other.rows()[0].metadata] == [
        {"plan": "trial"},
        {"plan": "paid"},
    ]


def test_both_are_told_on_an_event_loop(place: Place, other: Place, api: Emulated) -> None:
    async def work() -> str:
        client = AsyncOpenAI(base_url=api.base_url, api_key=api.api_key)
        async with janitor.track(janitor.track(client, place.url), other.url) as both:
            made = await both.conversations.create()
        await client.close()
        return str(made.id)

    made = asyncio.run(work())
    assert place.told() == other.told() == [("register", made)]


@pytest.mark.parametrize("is_mounted", [False, True])
def test_both_are_told_by_azure_and_through_transports_of_ones_own(
    place: Place, other: Place, *, is_mounted: bool
) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=THREAD))
    options: dict[str, Any] = {
        "azure_endpoint": "https://example.openai.azure.com",
        "api_key": "k",
        "api_version": "2026-01-01",
    }
    mine = {"mounts": {"https://": transport}} if is_mounted else {"transport": transport}

    async def work() -> None:
        async with httpx2.AsyncClient(**mine) as http:
            client = AsyncAzureOpenAI(http_client=http, **options)
            both = janitor.track(janitor.track(client, place.url), other.url)
            await both.beta.threads.create()
            assert type(both) is AsyncAzureOpenAI

    with httpx2.Client(**mine) as http:
        client = AzureOpenAI(http_client=http, **options)
        both = janitor.track(janitor.track(client, place.url), other.url)
        both.beta.threads.create()
        assert type(both) is AzureOpenAI
        assert http.event_hooks["request"] == both._client.event_hooks["request"]
    asyncio.run(work())
    assert place.told() == other.told() == [("register", "thread_1")] * 2


def test_one_registry_is_told_once_and_what_was_said_last_counts(
    place: Place, other: Place, api: Emulated
) -> None:
    with client_of(api) as client:
        tracked = janitor.track(client, place.url, metadata={"plan": "trial"}, send=["plan"])
        tracked = janitor.track(tracked, other.url)
        tracked = janitor.track(tracked, place.url, metadata={"plan": "paid"}, tag=False)
        made = tracked.conversations.create()
        assert made.metadata is not None
        assert "plan" not in made.metadata
        tracked.conversations.delete(made.id)
    told = [("register", made.id), ("deleted", made.id)]
    assert place.told() == other.told() == told
    assert place.rows()[0].metadata == {"plan": "paid"}
    assert COUNTERS.tracked.total() == 4


def test_two_projects_of_one_registry_are_both_told(place: Place, api: Emulated) -> None:
    with client_of(api) as client:
        tracked = janitor.track(janitor.track(client, place.url), place.url, project="other")
        made = tracked.conversations.create()
    assert place.told() == [("register", made.id)] * 2


def test_a_client_that_is_tracked_for_each_request_does_not_grow(
    place: Place, api: Emulated
) -> None:
    client = client_of(api)
    for _ in range(2000):  # deeper than Python's calls may go
        client = janitor.track(client, place.url)
    made = client.conversations.create()
    http: Any = client._client
    transport = http._transport
    client.close()
    assert not hasattr(transport._inner, "_inner")
    assert place.told() == [("register", made.id)]


@pytest.mark.parametrize("held", [0, 1, None])
def test_connections_are_closed_by_the_last_who_holds_them(
    place: Place, other: Place, api: Emulated, held: int | None
) -> None:
    http = DefaultHttpxClient()
    clients = [client_of(api, http_client=http)]
    clients.append(janitor.track(clients[0], place.url))
    both = janitor.track(clients[1], other.url)
    keeper = None if held is None else clients[held]
    clients.clear()
    gc.collect()
    both.close()
    assert http.is_closed == (held is None)
    if keeper is not None:
        assert keeper.conversations.create().id
        keeper.close()
    assert http.is_closed


@pytest.mark.parametrize("wrong", ["resource", "module", "nothing", "http"])
def test_what_is_no_client_is_refused_at_the_call(place: Place, api: Emulated, wrong: str) -> None:
    import openai

    with client_of(api) as client:
        what: Any = {
            "resource": client.conversations,
            "module": openai,
            "nothing": None,
            "http": client._client,
        }[wrong]
        with pytest.raises(ConfigError, match="httpx2"):
            janitor.track(what, place.url)
