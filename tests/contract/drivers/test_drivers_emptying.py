from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx2
import pytest
from container_server import CREATED, ID, NOT_FOUND, Answer, Server, delete, run, thing

from janitor.drivers import Driver, TornError
from janitor.errors import AccessError, BusyError, GoneError, RefusedError, StoreError
from janitor.kinds import CATALOGUE
from janitor.model import Kind

EMPTIED = [kind for kind in Kind if CATALOGUE[kind].items_first]
WHOLE = [kind for kind in Kind if not CATALOGUE[kind].items_first]
LISTED, ITEM, CONTAINER = ("GET", "items"), ("DELETE", "item"), ("DELETE", "container")


def asking(*answers: bool) -> tuple[Callable[[], Awaitable[bool]], list[bool]]:
    """A callback that gives these answers in turn, and what is left of them."""
    left = list(answers)

    async def still_wanted() -> bool:
        return left.pop(0)

    return still_wanted, left


def deleting(*answers: bool) -> Callable[[Driver], Awaitable[str | None]]:
    still_wanted, _ = asking(*answers)
    return lambda driver: driver.delete(ID, still_wanted=still_wanted)


@pytest.mark.parametrize("kind", EMPTIED)
@pytest.mark.parametrize("count", [1, 100, 101, 230])
def test_items_go_first_proven_by_an_empty_listing(kind: Kind, count: int) -> None:
    server = Server(kind, items=count)
    run(kind, server, delete)
    assert server.items == []
    assert server.calls.count(ITEM) == count
    assert server.calls[-2:] == [LISTED, CONTAINER]


@pytest.mark.parametrize("kind", EMPTIED)
def test_an_empty_container_costs_one_listing(kind: Kind) -> None:
    server = Server(kind, items=0)
    run(kind, server, delete)
    assert server.calls == [LISTED, CONTAINER]


@pytest.mark.parametrize("kind", Kind)
def test_without_items_first_one_call_does_it(kind: Kind) -> None:
    server = Server(kind)
    run(kind, server, lambda driver: driver.delete(ID, items_first=False))
    assert server.calls == [CONTAINER]


@pytest.mark.parametrize("kind", WHOLE)
def test_a_kind_that_goes_whole_deletes_no_items(kind: Kind) -> None:
    server = Server(kind)
    run(kind, server, delete)
    assert server.calls == [CONTAINER]


@pytest.mark.parametrize("kind", EMPTIED)
def test_items_are_deleted_oldest_page_first(kind: Kind) -> None:
    server = Server(kind, items=150)
    with pytest.raises(TornError):
        run(kind, server, deleting(True, False))
    assert [item["id"] for item in server.items] == [f"item_{n}" for n in range(100, 150)]


@pytest.mark.parametrize("kind", EMPTIED)
def test_it_is_asked_before_each_page_and_before_the_container(kind: Kind) -> None:
    server = Server(kind, items=150)
    still_wanted, left = asking(True, True, True)
    run(kind, server, lambda driver: driver.delete(ID, still_wanted=still_wanted))
    assert left == []
    assert server.container is None


@pytest.mark.parametrize("kind", Kind)
def test_a_no_before_anything_was_removed_is_busy_and_changes_nothing(kind: Kind) -> None:
    server = Server(kind)
    with pytest.raises(BusyError) as caught:
        run(kind, server, deleting(False))
    assert type(caught.value) is BusyError
    assert {method for method, _ in server.calls} <= {"GET"}


@pytest.mark.parametrize("kind", EMPTIED)
def test_a_no_after_the_items_leaves_the_container(kind: Kind) -> None:
    server = Server(kind)
    with pytest.raises(TornError):
        run(kind, server, deleting(True, False))
    assert server.container is not None
    assert CONTAINER not in server.calls


@pytest.mark.parametrize("kind", EMPTIED)
def test_what_the_question_raises_stops_the_deletion(kind: Kind) -> None:
    server = Server(kind)

    async def still_wanted() -> bool:
        raise StoreError("the registry does not answer")

    with pytest.raises(StoreError):
        run(kind, server, lambda driver: driver.delete(ID, still_wanted=still_wanted))
    assert {method for method, _ in server.calls} == {"GET"}


def arriving(server: Server, after: int) -> Answer:
    """A new item arrives with the answer to the item delete of that number."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if server.calls.count(ITEM) == after:
            server.items.append(thing("item_new", CREATED + 9999))
        return server.honest(request)

    return answer


@pytest.mark.parametrize("kind", EMPTIED)
@pytest.mark.parametrize(("count", "after", "deleted"), [(3, 2, 3), (150, 50, 100)])
def test_an_item_that_arrives_stops_the_deletion(
    kind: Kind, count: int, after: int, deleted: int
) -> None:
    server = Server(kind, items=count)
    server.answers[ITEM] = arriving(server, after)
    with pytest.raises(TornError):
        run(kind, server, delete)
    assert server.calls.count(ITEM) == deleted
    assert CONTAINER not in server.calls
    assert server.items[-1]["id"] == "item_new"


@pytest.mark.parametrize("kind", EMPTIED)
def test_items_that_stay_listed_are_not_believed_deleted(kind: Kind) -> None:
    server = Server(kind)
    server.answers[ITEM] = lambda _: httpx2.Response(200, json=server.container)
    with pytest.raises(RefusedError):
        run(kind, server, delete)
    assert CONTAINER not in server.calls


@pytest.mark.parametrize("kind", EMPTIED)
def test_an_item_that_somebody_else_deleted_is_no_failure(kind: Kind) -> None:
    server = Server(kind)

    def answer(request: httpx2.Request) -> httpx2.Response:
        server.honest(request)
        return httpx2.Response(404, json=NOT_FOUND)

    server.answers[ITEM] = answer
    run(kind, server, delete)
    assert server.container is None


@pytest.mark.parametrize("kind", EMPTIED)
@pytest.mark.parametrize(("status", "error"), [(401, AccessError), (409, BusyError)])
def test_a_failing_item_delete_leaves_the_container(
    kind: Kind, status: int, error: type[Exception]
) -> None:
    server = Server(kind, items=50)
    server.answers[ITEM] = lambda _: httpx2.Response(status, json=NOT_FOUND)
    with pytest.raises(error):
        run(kind, server, delete)
    assert CONTAINER not in server.calls
    assert server.calls.count(ITEM) <= 8


@pytest.mark.parametrize("kind", EMPTIED)
@pytest.mark.parametrize(("passed", "error"), [(0, BusyError), (1, TornError), (20, TornError)])
def test_a_lock_that_comes_midway_leaves_a_torn_container(
    kind: Kind, passed: int, error: type[Exception]
) -> None:
    server = Server(kind, items=50)

    def answer(request: httpx2.Request) -> httpx2.Response:
        if server.calls.count(ITEM) <= passed:
            return server.honest(request)
        return httpx2.Response(400, json={"error": {"code": "conversation_locked"}})

    server.answers[ITEM] = answer
    with pytest.raises(BusyError) as caught:
        run(kind, server, delete)
    assert type(caught.value) is error
    assert len(server.items) == 50 - passed


@pytest.mark.parametrize("kind", Kind)
def test_a_container_in_use_is_torn_only_where_items_went_first(kind: Kind) -> None:
    server = Server(kind)
    server.answers[CONTAINER] = lambda _: httpx2.Response(409)
    with pytest.raises(BusyError) as caught:
        run(kind, server, delete)
    assert type(caught.value) is (TornError if kind in EMPTIED else BusyError)


@pytest.mark.parametrize("kind", EMPTIED)
def test_a_listing_that_is_missing_is_no_proof_of_emptiness(kind: Kind) -> None:
    server = Server(kind)
    server.answers[LISTED] = lambda _: httpx2.Response(404, json=NOT_FOUND)
    with pytest.raises(RefusedError):
        run(kind, server, delete)
    assert CONTAINER not in server.calls


@pytest.mark.parametrize("kind", EMPTIED)
def test_a_container_already_gone_is_gone_by_its_own_delete(kind: Kind) -> None:
    server = Server(kind)
    server.container = None
    with pytest.raises(GoneError):
        run(kind, server, delete)
    assert server.calls[-1] == CONTAINER
