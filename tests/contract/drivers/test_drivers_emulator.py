"""The drivers over real sockets, against the emulated API."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import orjson
import pytest

from janitor.drivers import Driver, Endpoint
from janitor.drivers.call_counts import Calls, delete_calls, export_calls, mark_calls, probe_calls
from janitor.drivers.connect import connect
from janitor.emulator import Emulator, Fault, How
from janitor.errors import AccessError, BusyError, GoneError, RefusedError, TransientError
from janitor.kinds import CATALOGUE
from janitor.model import Kind, Probe, Record, Tail
from janitor.testing import Emulated, emulator

T = TypeVar("T")
CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)
METADATA = {"plan": "trial"}


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    with emulator() as running:
        yield running


def put(server: Emulator, kind: Kind, items: int = 3) -> str:
    metadata = METADATA if CATALOGUE[kind].has_metadata else None
    return server.add(kind, created_at=CREATED_AT, metadata=metadata, items=items)


def over(
    emulated: Emulated, kind: Kind, act: Callable[[Driver], Awaitable[T]], key: str | None = None
) -> T:
    endpoint = Endpoint("main", key or emulated.api_key, base_url=emulated.base_url, timeout=5.0)

    async def main() -> T:
        async with connect(endpoint, concurrency=8) as drivers:
            return await act(drivers[kind])

    return asyncio.run(main())


def exporting(id: str) -> Callable[[Driver], Awaitable[list[Record]]]:
    async def act(driver: Driver) -> list[Record]:
        return [record async for record in driver.export(id)]

    return act


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("items", [0, 3, 120])
def test_probe_and_export_agree_with_the_server(emulated: Emulated, kind: Kind, items: int) -> None:
    box = put(emulated.server, kind, items)
    said = over(emulated, kind, lambda driver: driver.probe(box))
    first, *rest = over(emulated, kind, exporting(box))
    exported = [orjson.loads(record.body) for record in rest if record.is_item]
    assert said.created_at == CREATED_AT
    assert said.metadata == (METADATA if CATALOGUE[kind].has_metadata else {})
    assert not said.busy
    assert first.id == box
    assert exported == emulated.server.items(box)
    assert said.newest_item == (exported[-1]["id"] if exported else None)
    assert (said.last_active_at is not None) == CATALOGUE[kind].has_activity


@pytest.mark.parametrize("kind", Kind)
def test_a_delete_removes_the_container_and_what_it_can_of_the_items(
    emulated: Emulated, kind: Kind
) -> None:
    box = put(emulated.server, kind, 105)
    over(emulated, kind, lambda driver: driver.delete(box))
    assert not emulated.server.exists(box)
    assert emulated.server.items(box) == []
    with pytest.raises(GoneError):
        over(emulated, kind, lambda driver: driver.probe(box))


@pytest.mark.parametrize("kind", [kind for kind in Kind if CATALOGUE[kind].items_deletable])
def test_one_item_goes_and_the_others_stay(emulated: Emulated, kind: Kind) -> None:
    box = put(emulated.server, kind)
    oldest, *others = [item["id"] for item in emulated.server.items(box)]
    over(emulated, kind, lambda driver: driver.delete_item(box, oldest))
    assert [item["id"] for item in emulated.server.items(box)] == others


@pytest.mark.parametrize("kind", [kind for kind in Kind if CATALOGUE[kind].has_metadata])
def test_metadata_is_merged(emulated: Emulated, kind: Kind) -> None:
    box = put(emulated.server, kind)
    over(emulated, kind, lambda driver: driver.write_metadata(box, {"mark": "x"}))
    assert emulated.server.metadata(box) == {**METADATA, "mark": "x"}
    over(emulated, kind, lambda driver: driver.write_metadata(box, {"mark": None}))
    assert emulated.server.metadata(box) == METADATA


@pytest.mark.parametrize("kind", [Kind.THREAD, Kind.AGENT_SESSION])
def test_a_run_makes_it_busy(emulated: Emulated, kind: Kind) -> None:
    box = put(emulated.server, kind)
    emulated.server.start_run(box)
    assert over(emulated, kind, lambda driver: driver.probe(box)).busy


@pytest.mark.parametrize("kind", [Kind.CONVERSATION, Kind.AGENT_SESSION])
def test_a_locked_container_is_busy_and_stays(emulated: Emulated, kind: Kind) -> None:
    box = put(emulated.server, kind)
    emulated.server.lock(box)
    with pytest.raises(BusyError):
        over(emulated, kind, lambda driver: driver.delete(box))
    assert emulated.server.exists(box)


@pytest.mark.parametrize("kind", Kind)
def test_a_wrong_key_is_an_access_error(emulated: Emulated, kind: Kind) -> None:
    box = put(emulated.server, kind)
    with pytest.raises(AccessError):
        over(emulated, kind, lambda driver: driver.probe(box), key="sk-wrong")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("how", "error"),
    [
        (How.DELETED_FALSE, RefusedError),
        (How.EMPTY_OBJECT, RefusedError),
        (How.NULL, RefusedError),
        (How.HTML, RefusedError),
        (How.WRONG_ID, RefusedError),
        (How.RESET, TransientError),
        (How.CUT_BODY, RefusedError),
    ],
)
def test_a_bad_answer_to_the_delete_is_not_believed(
    emulated: Emulated, kind: Kind, how: How, error: type[Exception]
) -> None:
    box = put(emulated.server, kind)
    fault = Fault(how, method="DELETE", path=f"{CATALOGUE[kind].path}/{box}")
    with emulated.server.faulty(fault), pytest.raises(error):
        over(emulated, kind, lambda driver: driver.delete(box))


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("how", [How.CUT_BODY, How.IGNORE_AFTER])
def test_a_list_that_cannot_be_believed_is_refused(
    emulated: Emulated, kind: Kind, how: How
) -> None:
    box = put(emulated.server, kind, 120)
    path = f"{CATALOGUE[kind].path}/{box}/{CATALOGUE[kind].items_path}"
    with emulated.server.faulty(Fault(how, path=path)), pytest.raises(RefusedError):
        over(emulated, kind, exporting(box))


Act = Callable[[Driver], Awaitable[object]]
ACTS: dict[str, tuple[Callable[[str], Act], Callable[[Kind, int], Calls]]] = {
    "probe": (lambda box: lambda driver: driver.probe(box), lambda kind, _: probe_calls(kind)),
    "export": (exporting, export_calls),
    "delete": (
        lambda box: lambda driver: driver.delete(box),
        lambda kind, items: delete_calls(kind, items, items_first=True),
    ),
    "items kept": (
        lambda box: lambda driver: driver.delete(box, items_first=False),
        lambda kind, items: delete_calls(kind, items, items_first=False),
    ),
    "mark": (
        lambda box: lambda driver: driver.write_metadata(box, {"mark": "set"}),
        lambda kind, _: mark_calls(kind),
    ),
    "count": (lambda box: lambda driver: driver.count_items(box), lambda *_: Calls(reads=1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("items", [0, 3, 120])
@pytest.mark.parametrize("act", ACTS)
def test_each_method_makes_as_many_calls_as_a_plan_reckons_with(
    emulated: Emulated, kind: Kind, items: int, act: str
) -> None:
    if act == "mark" and not CATALOGUE[kind].has_metadata:
        assert mark_calls(kind) == Calls()
        return
    box, (method, reckoned) = put(emulated.server, kind, items), ACTS[act]
    emulated.server.clear_log()
    over(emulated, kind, method(box))
    made = Counter(entry.method for entry in emulated.server.log)
    assert Calls(made["DELETE"], made["GET"], made["POST"]) == reckoned(kind, items)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("items", [0, 3, 100, 130])
def test_an_export_tells_what_a_probe_finds_and_up_to_a_page_of_items(
    emulated: Emulated, kind: Kind, items: int
) -> None:
    box = put(emulated.server, kind, items)
    if kind is Kind.THREAD:
        emulated.server.start_run(box)
    ids = tuple(item["id"] for item in emulated.server.items(box))

    async def look(driver: Driver) -> tuple[Probe, list[Probe], Tail]:
        told = list[Probe]()
        async for _ in driver.export(box, told.append):
            assert not told
        return await driver.probe(box), told, await driver.tail(box)

    probe, told, tail = over(emulated, kind, look)
    assert told == [replace(probe, items=ids if items <= 100 else None)]
    assert tail.newest_item == probe.newest_item == (ids[-1] if ids else None)
    assert tail.busy is probe.busy is (kind is Kind.THREAD)
    assert tail.active_at == (probe.last_active_at if kind is Kind.THREAD else None)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(("items", "counted"), [(0, 0), (7, 7), (100, 100), (130, 100)])
def test_items_are_counted_up_to_a_page(
    emulated: Emulated, kind: Kind, items: int, counted: int
) -> None:
    box = put(emulated.server, kind, items)
    assert over(emulated, kind, lambda driver: driver.count_items(box)) == counted
