"""How much memory an answer may take: the estimate, the bounds, and who waits for whom."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TypeVar, cast

import httpx2
import orjson
import pytest
from container_server import (
    CREATED,
    ENDPOINT,
    ID,
    VERB_NAMES,
    VERBS,
    Act,
    Answer,
    Server,
    export,
    page_of,
    probe,
    thing,
)
from hypothesis import given
from hypothesis import strategies as st

from janitor.drivers import Budget, Driver
from janitor.drivers.connect import connect
from janitor.drivers.response_memory import MIB, SHORT, weight
from janitor.drivers.responses import read_json
from janitor.errors import TooLargeError
from janitor.kinds import CATALOGUE
from janitor.model import Kind, Record

T = TypeVar("T")

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(0, 1)
    | st.text(max_size=200),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(max_size=20), inside),
    max_leaves=40,
)  # fmt: skip
DENSE = {
    "lists": b"[],",
    "lists of one": b"[0],",
    "lists in lists": b"[" * 60 + b"]" * 60 + b",",
    "objects": b"{},",
    "objects of one": b'{"":0},',
    "objects in objects": b'{"a":' * 60 + b"0" + b"}" * 60 + b",",
    "zeros": b"0,",
    "integers": b"1234567890123456789,",
    "floats": b"0.5,",
    "texts": b'"ab",',
    "texts beyond latin": '"é€",'.encode(),
    "emoji": '"😀",'.encode(),
    "escaped emoji": b'"\\ud83d\\ude00",',
}


def parsed(content: bytes) -> int:
    """The most memory that parsing takes, measured."""
    tracemalloc.start()
    try:
        read_json(content)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", DENSE.values(), ids=DENSE)
@pytest.mark.parametrize("length", [SHORT // 2, SHORT * 8])
def test_what_is_dense_takes_no_more_than_estimated(value: bytes, length: int) -> None:
    content = b"[" + value * (length // len(value)) + b"0]"
    assert parsed(content) < weight(content)


def test_an_object_of_many_keys_takes_no_more_than_estimated() -> None:
    content = b"{" + b",".join(b'"%x":0' % number for number in range(50_000)) + b"}"
    assert parsed(content) < weight(content)


@pytest.mark.parametrize(
    "text", ["plain " * 50_000, "plain " * 50_000 + "😀", "é" * 99_999, "日本語" * 50_000]
)
@pytest.mark.parametrize("escaped", [False, True])
def test_a_long_text_takes_no_more_than_estimated(text: str, *, escaped: bool) -> None:
    content = orjson.dumps({"text": text})
    if escaped:
        content = b'{"text":"' + text.encode("ascii", "backslashreplace") + b'"}'
        content = content.replace(b"\\U0001f600", b"\\ud83d\\ude00").replace(b"\\x", b"\\u00")
    assert 3 * len(content) < parsed(content) + len(content) * 3 < weight(content)


@pytest.mark.slow
@given(VALUES)
def test_any_json_takes_no_more_than_estimated(value: object) -> None:
    repeated = [value] * 30
    content = orjson.dumps(repeated, default=str)
    content = b"[" + b",".join([content] * (1 + SHORT // len(content))) + b"]"
    assert parsed(content) < weight(content)


@pytest.mark.parametrize("inside", [b"1,2,3,", b'{\\"a\\":[1]},', b'\\\\\\"[[,'])
def test_what_stands_within_a_long_text_is_no_structure(inside: bytes) -> None:
    content = b'{"text":"' + inside * 50_000 + b'"}'
    most = 14 * len(content)
    assert weight(content, most) < most < weight(content)


SMALL = 1 << 18
ROOMY = Budget()


def over(kind: Kind, server: Answer, act: Callable[[Driver], Awaitable[T]], budget: Budget) -> T:
    async def main() -> T:
        transport = httpx2.MockTransport(server)
        async with connect(ENDPOINT, transport=transport, budget=budget) as drivers:
            return await act(drivers[kind])

    return asyncio.run(main())


def is_free(budget: Budget, together: int, large: int) -> bool:
    """Whether nothing is counted any more: all of it can be had at once, and the front as well."""

    async def main() -> bool:
        with budget.large("one") as one, budget.large("another") as another:
            await one.grow(min(together, large))
            try:
                await another.grow(large)
            except TooLargeError:
                return False
            return True

    return asyncio.run(main())


def heavy(answer: Answer, lists: int) -> Answer:
    """The same answers, each with so many empty lists in it."""

    def answered(request: httpx2.Request) -> httpx2.Response:
        honest = answer(request)
        padding = b'{"padding":[' + b"[]," * lists + b"[]],"
        return httpx2.Response(honest.status_code, content=padding + honest.content[1:])

    return answered


@pytest.mark.parametrize(("kind", "verb"), VERBS, ids=VERB_NAMES)
def test_an_answer_that_would_take_too_much_is_refused_in_every_call(kind: Kind, verb: Act) -> None:
    honest = Server(kind)
    over(kind, honest, verb, ROOMY)
    parts = {"container", "item", *honest.lists}  # the server has no others
    for call in {call for call in honest.calls if call[1] in parts}:
        server, budget = Server(kind), Budget(small=SMALL, large=SMALL, together=SMALL, patience=0)
        server.answers[call] = heavy(server.honest, SMALL // 200)
        with pytest.raises(TooLargeError, match=ID):
            over(kind, server, verb, budget)
        assert is_free(budget, SMALL, SMALL)


@pytest.mark.parametrize("kind", Kind)
def test_an_answer_about_one_container_may_take_less_than_a_page(kind: Kind) -> None:
    budget = Budget(small=SMALL)
    server = Server(kind)
    server.answers["GET", server.trait.items_path] = heavy(server.honest, SMALL // 200)
    over(kind, server, probe, budget)
    server.answers["GET", "container"] = heavy(server.honest, SMALL // 200)
    with pytest.raises(TooLargeError):
        over(kind, server, probe, budget)


def limits(server: Server, part: str) -> list[int]:
    return [
        int(request.url.params["limit"])
        for request, called in zip(server.requests, server.calls, strict=True)
        if called == ("GET", part)
    ]


@pytest.mark.parametrize("kind", Kind)
def test_pages_that_are_too_large_are_asked_for_again_with_fewer_items(kind: Kind) -> None:
    """The copy is the same, record for record; a few large items do not make all pages small."""
    texts = [("word " * 4000 if 100 <= n < 150 else "word ") for n in range(400)]
    usual, narrow = Server(kind, 0), Server(kind, 0)
    for server in (usual, narrow):
        items = [thing(f"item_{n}", CREATED + n, text=text) for n, text in enumerate(texts)]
        server.lists[server.trait.items_path] = items
    budget = Budget(large=1 << 21, together=0, patience=0)
    assert over(kind, narrow, export, budget) == over(kind, usual, export, ROOMY)
    part = usual.trait.items_path
    assert limits(usual, part) == [100] * 4
    asked = limits(narrow, part)
    assert 1 < min(asked) < 10
    assert asked[-1] > 90
    assert len(asked) < 40


@pytest.mark.parametrize("kind", Kind)
def test_one_item_that_is_too_large_is_named_and_nothing_is_asked_for_ever(kind: Kind) -> None:
    server = Server(kind, items=120)
    server.items[110]["text"] = "word " * 100_000
    budget = Budget(large=1 << 21, together=0, patience=0)
    with pytest.raises(TooLargeError, match=f"{ID} in project main: an answer that would take"):
        over(kind, server, export, budget)
    assert limits(server, server.trait.items_path)[-1] == 1
    assert len(server.calls) < 30


@pytest.mark.parametrize("kind", [kind for kind in Kind if CATALOGUE[kind].listable])
def test_a_list_of_large_containers_is_read_in_smaller_pages(kind: Kind) -> None:
    server = Server(kind)
    one = server.container or {}
    boxes = [one | {"id": f"box_{n}", "title": "word " * 2000} for n in range(100)]
    asked: list[int] = []

    def listed(request: httpx2.Request) -> httpx2.Response:
        asked.append(int(request.url.params["limit"]))
        return httpx2.Response(200, json=page_of(boxes, request))

    async def whole(driver: Driver) -> list[str]:
        found, after = [], None
        while True:
            page = await driver.list_page(after)
            found += [one.id for one in page.listed]
            if (after := page.after) is None:
                return found

    budget = Budget(large=1 << 22, together=0, patience=0)
    assert over(kind, listed, whole, budget) == [box["id"] for box in boxes]
    assert asked[:3] == [100, 50, 25]


@pytest.mark.parametrize("kind", [Kind.THREAD])
def test_runs_that_are_too_large_for_one_page_are_all_looked_at(kind: Kind) -> None:
    server = Server(kind)
    runs = [
        thing(f"run_{n}", CREATED + n, status="completed", instructions="word " * 4000)
        for n in range(150)
    ]
    runs[60]["status"] = "in_progress"  # among the newest 100
    server.lists["runs"] = runs
    assert over(kind, server, lambda driver: driver.probe(ID), ROOMY).busy
    assert limits(server, "runs") == [100]
    budget = Budget(large=1 << 21, together=0, patience=0)
    assert over(kind, server, lambda driver: driver.probe(ID), budget).busy


@pytest.mark.parametrize("kind", Kind)
def test_an_export_that_is_left_lets_its_page_go(kind: Kind) -> None:
    budget = Budget(large=1 << 26, together=1 << 21, patience=0)
    server = Server(kind, 0)
    server.lists[server.trait.items_path] = [
        thing(f"item_{n}", CREATED + n, text="word " * 400) for n in range(300)
    ]

    async def leave(driver: Driver) -> None:
        async with aclosing(cast("AsyncGenerator[Record, None]", driver.export(ID))) as records:
            async for record in records:
                if record.is_item:
                    return

    over(kind, server, leave, budget)
    assert is_free(budget, 1 << 21, 1 << 26)


def test_who_needs_more_than_is_left_waits_until_it_is_given_back() -> None:
    async def main() -> None:
        budget = Budget(large=10 * MIB, together=10 * MIB)
        told: list[str] = []

        async def read(name: str, begun: asyncio.Event, goes_on: asyncio.Event) -> None:
            with budget.large(name) as share:
                await share.grow(9 * MIB)
                told.append(name)
                begun.set()
                await goes_on.wait()

        begun = [asyncio.Event() for _ in range(3)]
        goes_on = [asyncio.Event() for _ in range(3)]
        async with asyncio.TaskGroup() as group:
            for number, (one, end) in enumerate(zip(begun, goes_on, strict=True)):
                group.create_task(read(f"{number}", one, end))
            await begun[1].wait()  # the first from what there is, the second in front
            assert told == ["0", "1"]
            small = budget.small("small")
            await small.grow(MIB // 16)  # what is not counted waits for nobody
            goes_on[1].set()
            await begun[2].wait()
            goes_on[0].set()
            goes_on[2].set()
        assert told == ["0", "1", "2"]

    asyncio.run(main())


def test_there_is_always_one_that_comes_to_its_end() -> None:
    """Many that grow step by step, each of which needs all there is, on two event loops."""
    budget = Budget(large=4 * MIB, together=4 * MIB)
    done: list[int] = []

    async def read(number: int) -> None:
        with budget.large(f"{number}") as share:
            for size in range(1, 5):
                await share.grow(size * MIB)
                await asyncio.sleep(0)
        done.append(number)

    async def main() -> None:
        await asyncio.gather(*map(read, range(20)))

    with ThreadPoolExecutor(2) as threads:
        for loop in [threads.submit(asyncio.run, main()) for _ in range(2)]:
            loop.result()
    assert sorted(done) == sorted([*range(20)] * 2)
    assert is_free(budget, 4 * MIB, 4 * MIB)


def test_who_is_cancelled_while_it_waits_keeps_nothing() -> None:
    budget = Budget(large=4 * MIB, together=0, patience=0)

    async def main() -> None:
        with budget.large("front") as front:
            await front.grow(4 * MIB)
            budget._patience = 600.0
            with budget.large("waits") as waits:
                waiting = asyncio.ensure_future(waits.grow(MIB))
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])
            budget._patience = 0.0

    asyncio.run(main())
    assert is_free(budget, 0, 4 * MIB)


def test_waiting_for_memory_has_an_end() -> None:
    async def main() -> None:
        budget = Budget(large=4 * MIB, together=0, patience=0)
        with budget.large("front") as front, budget.large("box_1") as other:
            await front.grow(4 * MIB)
            with pytest.raises(TooLargeError, match="box_1: other answers leave no memory"):
                await other.grow(4 * MIB)

    asyncio.run(main())
