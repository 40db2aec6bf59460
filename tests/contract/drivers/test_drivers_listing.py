"""Lists of containers: honest ones, broken ones, and servers that have none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

import httpx2
import pytest
from container_server import CREATED, NOT_FOUND, Answer, Json, page_of, run

from janitor.drivers import Driver, Endpoint, Listing, LostPlaceError, UnlistedError, read_only
from janitor.drivers.catalogue import driver_class
from janitor.drivers.connect import connect
from janitor.emulator import Emulator, Fault, How
from janitor.errors import AccessError, DriverError, RefusedError, TransientError
from janitor.kinds import CATALOGUE
from janitor.model import Kind
from janitor.testing import Emulated, emulator

T = TypeVar("T")
PROMISED = [kind for kind in Kind if CATALOGUE[kind].listable]
UNPROMISED = [kind for kind in Kind if not CATALOGUE[kind].listable]
CREATED_AT = datetime.fromtimestamp(CREATED, UTC)


def box(kind: Kind, number: int, **more: object) -> Json:
    said = {"id": f"box_{number}", "object": CATALOGUE[kind].noun, "created_at": CREATED}
    return said | more


def listing(boxes: list[Json], **change: object) -> Answer:
    return lambda request: httpx2.Response(200, json=page_of(boxes, request) | change)


async def first(driver: Driver) -> Listing:
    return await driver.list_page()


async def walked(driver: Driver) -> list[str]:
    ids, after = [], None
    while True:
        page = await driver.list_page(after)
        ids += [one.id for one in page.listed]
        if (after := page.after) is None:
            return ids


@pytest.mark.parametrize("kind", Kind)
def test_a_page_is_asked_for_oldest_first_and_dated_by_the_server(kind: Kind) -> None:
    asked: list[httpx2.Request] = []
    boxes = [box(kind, n) for n in range(3)]

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return listing(boxes)(request)

    page = run(kind, answer, lambda driver: read_only(driver).list_page("box_0"))
    assert [(one.id, one.created_at) for one in page.listed] == [
        ("box_1", CREATED_AT),
        ("box_2", CREATED_AT),
    ]
    assert page.after is None
    assert dict(asked[0].url.params) == {"order": "asc", "limit": "100", "after": "box_0"}
    assert asked[0].url.path == f"/v1{CATALOGUE[kind].path}"
    assert asked[0].headers.get("openai-beta") == CATALOGUE[kind].beta


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "change",
    [
        {"has_more": None},
        {"has_more": "false"},
        {"data": None},
        {"data": [], "has_more": True},
        {"object": "error"},
        {"data": [{"id": "box_1", "object": "something else", "created_at": CREATED}]},
    ],
)
def test_a_page_that_breaks_its_promises_is_refused(kind: Kind, change: Json) -> None:
    with pytest.raises(RefusedError):
        run(kind, listing([box(kind, 1)], **change), first)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("created_at", [None, "2026-01-01", CREATED + 0.5, 10**18])
def test_a_date_that_cannot_be_read_concerns_that_container_alone(
    kind: Kind, created_at: object
) -> None:
    page = run(kind, listing([box(kind, 1, created_at=created_at), box(kind, 2)]), first)
    assert [one.created_at is None for one in page.listed] == [True, False]


@pytest.mark.parametrize("kind", Kind)
def test_a_page_that_names_one_twice_is_refused(kind: Kind) -> None:
    with pytest.raises(RefusedError):
        run(kind, listing([], data=[box(kind, 1), box(kind, 1)]), first)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("last_id", [None, "", "box_0"])
def test_more_without_a_last_id_is_refused_where_the_list_leads_on_by_it(
    kind: Kind, last_id: object
) -> None:
    answer = listing([box(kind, n) for n in range(150)], last_id=last_id)
    if driver_class(kind).follows_last_id:
        with pytest.raises(RefusedError):
            run(kind, answer, first)
    else:
        assert run(kind, answer, first).after == "box_99"


@pytest.mark.parametrize("kind", Kind)
def test_an_id_that_no_path_can_carry_is_counted_and_left_out(kind: Kind) -> None:
    page = run(kind, listing([box(kind, 1, id="../x"), box(kind, 2)]), first)
    assert ([one.id for one in page.listed], page.unfit) == (["box_2"], 1)


@pytest.mark.parametrize("odd", [7, ["x"], True, "", "x" * 5000, "a\0b"], ids=ascii)
def test_an_id_that_is_no_text_concerns_its_own_item_alone(odd: object) -> None:
    items = [box(Kind.THREAD, 1), {**box(Kind.THREAD, 2), "id": odd}, box(Kind.THREAD, 3)]
    page = run(Kind.THREAD, listing([], data=items), first)
    assert ([one.id for one in page.listed], page.unfit) == (["box_1", "box_3"], 1)


@pytest.mark.parametrize("kind", Kind)
def test_a_list_that_goes_on_behind_no_id_is_refused(kind: Kind) -> None:
    with pytest.raises(RefusedError):
        run(kind, listing([box(kind, 1, id="a b")], has_more=True), first)


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        *((kind, status, NOT_FOUND) for kind in UNPROMISED for status in (400, 404, 405, 501)),
        *((kind, 404, {}) for kind in UNPROMISED),
        *((kind, status, NOT_FOUND) for kind in PROMISED for status in (404, 405, 501)),
    ],
)
def test_a_server_without_the_list_is_no_failure(kind: Kind, status: int, body: Json) -> None:
    with pytest.raises(UnlistedError):
        run(kind, lambda _: httpx2.Response(status, json=body), first)


@pytest.mark.parametrize(
    ("kind", "status", "body", "error"),
    [
        *((kind, 500, NOT_FOUND, TransientError) for kind in Kind),
        *((kind, 429, NOT_FOUND, TransientError) for kind in Kind),
        *((kind, 401, NOT_FOUND, AccessError) for kind in Kind),
        *((kind, 400, NOT_FOUND, RefusedError) for kind in PROMISED),
        *((kind, 404, {}, RefusedError) for kind in PROMISED),
    ],
)
def test_any_other_failure_is_one(
    kind: Kind, status: int, body: Json, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        run(kind, lambda _: httpx2.Response(status, json=body), first)
    assert not isinstance(caught.value, UnlistedError)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("status", [400, 404])
def test_a_place_that_is_gone_is_told_from_a_list_that_is_not(kind: Kind, status: int) -> None:
    with pytest.raises(LostPlaceError):
        run(
            kind,
            lambda _: httpx2.Response(status, json=NOT_FOUND),
            lambda driver: driver.list_page("box_1"),
        )


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    with emulator() as running:
        yield running


@pytest.fixture
def lists_all(emulated: Emulated) -> Iterator[Emulator]:
    emulated.server.lists_all = True
    yield emulated.server
    emulated.server.lists_all = False


def fill(server: Emulator, kind: Kind, number: int) -> list[str]:
    """So many containers more; all that there are of the kind, oldest first."""
    prefix = server.add(kind).partition("_")[0]
    for _ in range(number - 1):
        server.add(kind)
    return [one for one in server.ids() if one.partition("_")[0] == prefix]


def over(emulated: Emulated, kind: Kind, act: Callable[[Driver], Awaitable[T]]) -> T:
    endpoint = Endpoint("main", emulated.api_key, base_url=emulated.base_url, timeout=5.0)

    async def main() -> T:
        async with connect(endpoint, concurrency=2) as drivers:
            return await act(drivers[kind])

    return asyncio.run(main())


@pytest.mark.parametrize("kind", Kind)
def test_a_walk_over_a_real_socket_finds_them_all(
    emulated: Emulated, lists_all: Emulator, kind: Kind
) -> None:
    ids = fill(lists_all, kind, 230)
    assert over(emulated, kind, walked) == ids


@pytest.mark.parametrize("kind", UNPROMISED)
def test_openai_lists_neither_conversations_nor_threads(emulated: Emulated, kind: Kind) -> None:
    with pytest.raises(UnlistedError):
        over(emulated, kind, first)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("how", [How.CUT_BODY, How.REPEATED, How.NULL, How.HTML, How.RESET])
def test_a_fault_in_a_list_is_none_of_its_end(
    emulated: Emulated, lists_all: Emulator, kind: Kind, how: How
) -> None:
    fill(lists_all, kind, 1)
    fault = Fault(how, path=CATALOGUE[kind].path, call="list", kind=kind)
    with lists_all.faulty(fault), pytest.raises(DriverError):
        over(emulated, kind, first)
