from __future__ import annotations

import itertools
from typing import Any

import httpx2
import pytest
from container_server import CREATED, Answer, Json, Server, delete, export, page_of, run, thing

from janitor.drivers import responses
from janitor.drivers.catalogue import driver_class
from janitor.errors import RefusedError
from janitor.kinds import CATALOGUE
from janitor.model import Kind

EMPTIED = [kind for kind in Kind if CATALOGUE[kind].items_first]


def changed(server: Server, change: Json, *, drop: tuple[str, ...] = ()) -> Answer:
    """Pages of items with fields replaced or dropped."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        body = page_of(server.items, request) | change
        return httpx2.Response(200, json={key: body[key] for key in body if key not in drop})

    return answer


def refused(server: Server, answer: Answer) -> None:
    server.answers["GET", server.trait.items_path] = answer
    with pytest.raises(RefusedError):
        run(server.kind, server, export)
    if server.trait.items_first:
        with pytest.raises(RefusedError):
            run(server.kind, server, delete)
        assert "DELETE" not in {method for method, _ in server.calls}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "change",
    [
        {"has_more": None},
        {"has_more": "false"},
        {"has_more": 0},
        {"data": None},
        {"data": {}},
        {"data": ["item_0"]},
        {"data": [{"object": "thing"}]},
        {"data": [{"id": 7}]},
        {"data": [{"id": ""}]},
        {"data": [thing("item_0", CREATED), thing("item_0", CREATED)]},
        {"data": [], "has_more": True},
        {"object": "error"},
    ],
)
def test_a_page_that_breaks_its_promises_is_refused(kind: Kind, change: Json) -> None:
    server = Server(kind)
    refused(server, changed(server, change))


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("field", ["has_more", "data"])
def test_a_page_with_a_field_missing_is_refused(kind: Kind, field: str) -> None:
    server = Server(kind)
    refused(server, changed(server, {}, drop=(field,)))


@pytest.mark.parametrize("kind", Kind)
def test_a_page_broken_off_is_refused(kind: Kind) -> None:
    server = Server(kind, items=150)

    def answer(request: httpx2.Request) -> httpx2.Response:
        whole = httpx2.Response(200, json=page_of(server.items, request))
        return httpx2.Response(200, content=whole.content[:-20])

    refused(server, answer)


@pytest.mark.parametrize("kind", Kind)
def test_a_server_that_ignores_after_is_refused(kind: Kind) -> None:
    server = Server(kind, items=150)

    def answer(request: httpx2.Request) -> httpx2.Response:
        url = request.url.copy_remove_param("after")
        return httpx2.Response(200, json=page_of(server.items, httpx2.Request("GET", url)))

    refused(server, answer)
    assert len(server.calls) <= 6


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("last_id", [None, "", 7, "item_0"])
def test_more_without_a_last_id_is_refused_where_the_list_leads_on_by_it(
    kind: Kind, last_id: object
) -> None:
    server = Server(kind, items=150)
    answer = changed(server, {"last_id": last_id})
    if driver_class(kind).follows_last_id:
        refused(server, answer)
        return
    server.answers["GET", server.trait.items_path] = answer
    records = run(kind, server, export)
    assert len([record for record in records if record.is_item]) == 150


@pytest.mark.parametrize("kind", Kind)
def test_a_list_that_never_ends_is_refused(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "MOST_PAGES", 20)
    server = Server(kind)
    names = itertools.count()

    def answer(request: httpx2.Request) -> httpx2.Response:
        item = thing(f"item_{next(names)}", CREATED)
        body: dict[str, Any] = {"data": [item], "last_id": item["id"], "has_more": True}
        return httpx2.Response(200, json=body)

    refused(server, answer)


@pytest.mark.parametrize("kind", Kind)
def test_short_pages_are_followed_to_their_end(kind: Kind) -> None:
    server = Server(kind, items=45)

    def answer(request: httpx2.Request) -> httpx2.Response:
        url = request.url.copy_set_param("limit", 10)
        return httpx2.Response(200, json=page_of(server.items, httpx2.Request("GET", url)))

    server.answers["GET", server.trait.items_path] = answer
    records = run(kind, server, export)
    assert [record.id for record in records if record.is_item] == [f"item_{n}" for n in range(45)]


@pytest.mark.parametrize("kind", Kind)
def test_an_item_nested_too_deeply_to_be_written_is_refused(kind: Kind) -> None:
    server = Server(kind, items=0)
    nested = b"[" * 500 + b"]" * 500
    body = b'{"data": [{"id": "item_0", "a": ' + nested + b'}], "has_more": false}'
    server.answers["GET", server.trait.items_path] = lambda _: httpx2.Response(200, content=body)
    with pytest.raises(RefusedError):
        run(kind, server, export)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("number", "exact"),
    [
        (b"9223372036854775807", True),
        (b"18446744073709551615", True),
        (b"18446744073709551617", False),
        (b"-9223372036854775809", False),
        (b"1" * 5000, False),
        (b'"18446744073709551617"', True),
        (b'"paid 18446744073709551617 of 1"', True),
        (b"[" * 900 + b"18446744073709551617" + b"]" * 900, False),
    ],
    ids=range(8),
)
def test_a_number_is_copied_exactly_or_refused(kind: Kind, number: bytes, *, exact: bool) -> None:
    server = Server(kind, items=0)
    item = b'{"id":"item_0","a":' + number + b"}"
    body = b'{"data": [' + item + b'], "has_more": false}'
    server.answers["GET", server.trait.items_path] = lambda _: httpx2.Response(200, content=body)
    if exact:
        assert run(kind, server, export)[1].body == item
        return
    with pytest.raises(RefusedError):
        run(kind, server, export)


def test_the_runs_of_a_thread_are_walked_as_strictly() -> None:
    server = Server(Kind.THREAD)
    server.answers["GET", "runs"] = lambda _: httpx2.Response(200, json={"data": []})
    with pytest.raises(RefusedError):
        run(Kind.THREAD, server, export)


@pytest.mark.parametrize("status", [500, 405])
def test_a_part_that_fails_otherwise_than_by_404_fails_the_export(status: int) -> None:
    from janitor.errors import DriverError

    server = Server(Kind.AGENT_SESSION)
    server.answers["GET", "turns"] = lambda _: httpx2.Response(status)
    with pytest.raises(DriverError):
        run(Kind.AGENT_SESSION, server, export)


@pytest.mark.parametrize("kind", EMPTIED)
def test_an_empty_listing_that_does_not_end_proves_nothing(kind: Kind) -> None:
    server = Server(kind, items=2)

    def answer(request: httpx2.Request) -> httpx2.Response:
        more = {"has_more": True} if not server.items else {}
        return httpx2.Response(200, json=page_of(server.items, request) | more)

    server.answers["GET", server.trait.items_path] = answer
    with pytest.raises(RefusedError):
        run(kind, server, delete)
    assert server.container is not None
