"""What a tracked client makes and uses is in the registry, and its calls go as they always went."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx2
import pytest
from openai import AsyncOpenAI, AzureOpenAI, DefaultAioHttpClient, DefaultHttpxClient, OpenAI
from tracked import DEADLINE, Place

import janitor
from janitor.errors import ConfigError
from janitor.testing import Emulated, Fault, How
from janitor.tracking import COUNTERS, collectors, flush

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API:DeprecationWarning")


@pytest.fixture
def client(api: Emulated) -> Iterator[OpenAI]:
    with OpenAI(base_url=api.base_url, api_key=api.api_key, max_retries=0) as made:
        yield made


def test_what_is_made_in_any_way_is_registered(client: OpenAI, place: Place) -> None:
    tracked = janitor.track(client, place.url, metadata={"user_id": "u1"})
    made = [
        tracked.conversations.create(items=[]).id,
        tracked.conversations.with_raw_response.create().parse().id,
        tracked.with_options(timeout=30).conversations.create().id,
        tracked.beta.threads.create().id,
        tracked.beta.threads.create_and_run(assistant_id="asst_1").thread_id,
        tracked.beta.agents.sessions.create(environment={"type": "none"}).id,
    ]
    with tracked.conversations.with_streaming_response.create() as answer:
        made.append(answer.parse().id)
    assert place.told() == [("register", one) for one in made]
    entries = place.entries()
    assert all(entries[one].thread.reported == {"user_id": "u1"} for one in made)
    assert {entry.thread.key.project for entry in entries.values()} == {"main"}
    for one in (made[0], made[3]):
        thread = entries[one].thread
        assert thread.created_at is not None
        assert thread.last_active_at is not None
        assert abs(thread.last_active_at - thread.created_at) < timedelta(seconds=DEADLINE)


def test_use_is_told_of_once_a_minute_and_deletion_is_told_of(
    client: OpenAI, place: Place, api: Emulated
) -> None:
    one, two, three, four = (api.server.add_conversation() for _ in range(4))
    for _ in range(2):  # as an application does that tracks for each request anew
        tracked = janitor.track(client, place.url)
        tracked.responses.create(model="gpt-5", input="hello", conversation=one)
    stream = tracked.responses.create(
        model="gpt-5", input="x", conversation={"id": two}, stream=True
    )
    assert [event.type for event in stream][-1] == "response.completed"
    tracked.conversations.items.create(
        three, items=[{"type": "message", "role": "user", "content": "x"}]
    )
    tracked.conversations.update(four, metadata={"a": "b"})
    tracked.conversations.delete(four)
    tracked.conversations.retrieve(one)
    expected = [("touch", one), ("touch", two), ("touch", three), ("touch", four)]
    assert place.told() == [*expected, ("deleted", four)]
    assert place.entries().keys() == {one, two, three, four}


def test_refused_calls_and_other_calls_are_not_told_of(client: OpenAI, place: Place) -> None:
    tracked = janitor.track(client, place.url)
    with pytest.raises(Exception, match="404"):
        tracked.conversations.update("conv_unknown", metadata={})
    with pytest.raises(Exception, match="404"):
        tracked.conversations.delete("conv_unknown")
    with pytest.raises(Exception, match="400"):
        tracked.conversations.create(metadata={"x": "y" * 600})
    tracked.responses.create(model="gpt-5", input="hello")
    assert place.told() == []


def test_a_use_whose_answer_was_lost_is_told_of(
    client: OpenAI, place: Place, api: Emulated
) -> None:
    one, two = api.server.add_conversation(), api.server.add_conversation()
    tracked = janitor.track(client, place.url)
    api.server.add_fault(Fault(How.STATUS, kind="conversation", call="update", status=500))
    with pytest.raises(Exception, match="500"):
        tracked.conversations.update(one, metadata={})
    api.server.clear_faults()
    api.server.add_fault(Fault(How.RESET, kind="conversation", call="update"))
    with pytest.raises(Exception, match=r"[Cc]onnection"):
        tracked.conversations.update(two, metadata={})
    assert place.told() == [("touch", one), ("touch", two)]


def test_tags_go_upstream_beside_what_the_application_says(client: OpenAI, place: Place) -> None:
    plan = iter(["trial", "paid"])
    tracked = janitor.track(
        client, place.url, metadata=lambda: {"plan": next(plan), "user_id": 7}, send=["plan"]
    )
    first = tracked.conversations.create(metadata={"plan": "mine"})
    second = tracked.beta.threads.create()
    assert first.metadata is not None
    assert first.metadata.keys() == {"plan", "janitor_created_at"}
    assert first.metadata["plan"] == "mine"
    assert second.metadata is not None
    assert second.metadata["plan"] == "paid"
    plain = janitor.track(client, place.url, tag=False).conversations.create()
    assert not plain.metadata
    assert place.told()
    told = [row.metadata for row in place.rows()]
    assert told == [{"plan": "trial", "user_id": "7"}, {"plan": "paid", "user_id": "7"}, None]


def test_a_client_on_an_event_loop_is_tracked_alike(place: Place, api: Emulated) -> None:
    async def work(http: httpx2.AsyncClient | None) -> list[str]:
        client = AsyncOpenAI(base_url=api.base_url, api_key=api.api_key, http_client=http)
        async with janitor.track(client, place.url) as tracked:
            made = await asyncio.gather(*(tracked.conversations.create() for _ in range(8)))
            raw = await tracked.conversations.with_raw_response.create()
            last = raw.parse().id
            stream = await tracked.responses.create(
                model="gpt-5", input="x", conversation=api.server.add_conversation(), stream=True
            )
            async for _ in stream:
                pass
        await client.close()
        return [*(one.id for one in made), last]

    ids = [*asyncio.run(work(None)), *asyncio.run(work(DefaultAioHttpClient()))]
    told = place.told()
    assert sorted(one for event, one in told if event == "register") == sorted(ids)
    assert [event for event, _ in told if event != "register"] == ["touch", "touch"]


def test_azure_keeps_its_class_and_its_way(place: Place, api: Emulated) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(
            200, json={"id": "thread_azure", "object": "thread", "created_at": 1}
        )

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        client = AzureOpenAI(
            azure_endpoint="https://example.openai.azure.com",
            azure_deployment="gpt-5",
            api_key="k",
            api_version="2026-01-01",
            http_client=http,
        )
        tracked = janitor.track(client, place.url)
        assert type(tracked) is AzureOpenAI
        tracked.beta.threads.create()
    assert seen[0].headers["api-key"] == "k"
    assert seen[0].url.params["api-version"] == "2026-01-01"
    assert place.told() == [("register", "thread_azure")]


def test_what_was_set_on_the_http_client_stays(place: Place, api: Emulated) -> None:
    hooked: list[str] = []
    routed: list[str] = []

    class Mount(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            routed.append(request.url.path)
            return super().handle_request(request)

    class Own(DefaultHttpxClient):
        pass

    with Own(
        timeout=7,
        event_hooks={"request": [lambda request: hooked.append(request.method)]},
        mounts={"all://127.0.0.1": Mount()},
    ) as http:
        client = OpenAI(base_url=api.base_url, api_key=api.api_key, http_client=http)
        tracked = janitor.track(client, place.url)
        assert isinstance(tracked._client, Own)
        assert (tracked._client.timeout, tracked._client.follow_redirects) == (http.timeout, True)
        assert tracked.timeout == client.timeout
        made = tracked.conversations.create()
    assert (hooked, routed) == (["POST"], ["/v1/conversations"])
    assert place.told() == [("register", made.id)]


def test_closing_or_losing_a_tracked_client_leaves_one_that_is_held_alone(
    client: OpenAI, place: Place
) -> None:
    janitor.track(client, place.url).close()
    lost = janitor.track(client.with_options(timeout=9), place.url)
    lost.conversations.create()
    del lost
    gc.collect()
    assert client.conversations.create().id


def test_closing_a_tracked_client_closes_what_nobody_else_holds(
    place: Place, api: Emulated
) -> None:
    http = DefaultHttpxClient()
    with janitor.track(
        OpenAI(base_url=api.base_url, api_key=api.api_key, http_client=http), place.url
    ) as tracked:
        tracked.conversations.create()
        assert not http.is_closed
    assert http.is_closed


def test_thirty_two_threads_lose_nothing(client: OpenAI, place: Place) -> None:
    tracked = janitor.track(client, place.url)
    together = threading.Barrier(32)

    def work(_: int) -> list[str]:
        together.wait(DEADLINE)
        return [tracked.conversations.create().id for _ in range(4)]

    with ThreadPoolExecutor(32) as pool:
        made = [one for ids in pool.map(work, range(32)) for one in ids]
    assert sorted(place.told()) == sorted(("register", one) for one in made)


def test_what_is_counted_is_shown_in_a_registry_of_its_own(client: OpenAI, place: Place) -> None:
    janitor.track(client, place.url).conversations.create()
    assert flush(DEADLINE)
    shown = collectors()
    labels = {"kind": "conversation", "event": "register"}
    assert shown.get_sample_value("janitor_tracked_total", labels) == 1
    assert shown.get_sample_value("janitor_tracking_dropped_total") == 0
    assert shown.get_sample_value("janitor_tracking_spool_bytes") == 0
    assert COUNTERS.tracked.total() == 1


@pytest.mark.parametrize(
    "registry",
    [
        "sqlite:///relative.db",
        "sqlite://",
        "sqlite:///",
        "spool://dir",
        "mysql://x/y",
        "",
        "http://registry.example/",
    ],
)
def test_an_address_that_is_none_is_refused_at_the_call(client: OpenAI, registry: str) -> None:
    with pytest.raises(ConfigError, match=r"absolute|must begin|https://"):
        janitor.track(client, registry)


def test_a_project_that_is_none_is_refused_at_the_call(client: OpenAI, place: Place) -> None:
    with pytest.raises(ConfigError, match="project"):
        janitor.track(client, place.url, project="a b")


def test_warnings_are_not_made_by_tracking(place: Place, api: Emulated) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with OpenAI(base_url=api.base_url, api_key=api.api_key) as client:
            tracked = janitor.track(client, place.url)
            tracked.conversations.create()
            del tracked
            gc.collect()
