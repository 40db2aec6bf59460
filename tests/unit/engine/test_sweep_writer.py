"""Group commit: each waiter gets its own answer, in order, and few transactions carry them all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_world import NOW, World

from janitor.engine.settlement import Batch, SettlementWriter
from janitor.errors import ClaimLostError, StoreError
from janitor.model import Key, Kind, State
from janitor.registry import Intent, Settlement


class Log:
    """A commit that writes down what it was given and refuses what it is told to."""

    def __init__(self, refused: frozenset[int] = frozenset()) -> None:
        self.batches: list[list[int]] = []
        self.refused = refused

    def __call__(self, values: Sequence[int]) -> frozenset[Key]:
        self.batches.append(list(values))
        if self.refused.intersection(values):
            raise StoreError(f"refused {sorted(self.refused.intersection(values))}")
        return frozenset()

    @property
    def committed(self) -> list[int]:
        return [value for batch in self.batches for value in batch]


def key_of(value: int) -> Key:
    return Key("main", Kind.THREAD, f"thread_{value}")


async def add_all(batch: Batch[int], values: Sequence[int]) -> list[BaseException | None]:
    return await asyncio.gather(*map(batch.add, values), return_exceptions=True)


@given(st.lists(st.integers(), max_size=50))
def test_all_are_committed_once_and_in_order(values: list[int]) -> None:
    log = Log()
    assert asyncio.run(add_all(Batch(log, key_of), values)) == [None] * len(values)
    assert log.committed == values


@given(st.lists(st.integers(0, 20), min_size=1, max_size=50), st.frozensets(st.integers(0, 20)))
def test_what_a_commit_raises_reaches_each_of_its_waiters_and_no_other(
    values: list[int], refused: frozenset[int]
) -> None:
    log = Log(refused)

    async def main() -> None:
        batch = Batch(log, key_of)
        for value in values:
            try:
                await batch.add(value)
            except StoreError:
                assert value in refused
            else:
                assert value not in refused

    asyncio.run(main())
    assert log.committed == values


def test_a_lost_claim_is_told_to_whoever_lost_it_alone() -> None:
    batch = Batch[int](lambda _: frozenset([key_of(2)]), key_of)
    found = asyncio.run(add_all(batch, [1, 2, 3]))
    assert [type(one) for one in found] == [type(None), ClaimLostError, type(None)]


def test_those_who_wait_together_share_a_commit() -> None:
    began, may_end = threading.Event(), threading.Event()
    log = Log()

    def commit(values: Sequence[int]) -> frozenset[Key]:
        began.set()
        may_end.wait()
        return log(values)

    async def main() -> None:
        batch = Batch(commit, key_of)
        first = asyncio.create_task(batch.add(0))
        await asyncio.to_thread(began.wait)
        others = [asyncio.create_task(batch.add(value)) for value in range(1, 101)]
        await asyncio.sleep(0)
        assert not any(one.done() for one in (first, *others))
        may_end.set()
        await asyncio.gather(first, *others)

    asyncio.run(main())
    assert log.batches == [[0], list(range(1, 101))]


def test_a_refusal_of_one_commit_leaves_the_next_as_it_is() -> None:
    log = Log(frozenset([1]))

    async def main() -> list[BaseException | None]:
        batch = Batch(log, key_of)
        return [*await add_all(batch, [1, 2]), *await add_all(batch, [3, 4])]

    first, second, *rest = asyncio.run(main())
    assert isinstance(first, StoreError)
    assert isinstance(second, StoreError)
    assert rest == [None, None]


def test_a_waiter_that_was_cancelled_does_not_stop_the_others() -> None:
    log = Log()

    async def main() -> None:
        batch = Batch(log, key_of)
        tasks = [asyncio.create_task(batch.add(value)) for value in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert found[1:] == [None, None]

    asyncio.run(main())
    assert log.committed == [0, 1, 2]


def test_an_intent_is_durable_before_its_call_and_before_its_result(world: World) -> None:
    keys = [world.add(Kind.THREAD) for _ in range(10)]

    by = world.registry.claims.claimant("run")
    world.registry.claims.take_keys(by, keys)

    async def main() -> None:
        writer = SettlementWriter(world.registry, by)
        await asyncio.gather(
            *(writer.intend(Intent(key, "run", NOW, "chats", NOW, "access")) for key in keys)
        )
        assert {world.state(key) for key in keys} == {State.DELETING}
        await asyncio.gather(
            *(writer.settle(Settlement(key, None, state=State.ARCHIVED)) for key in keys)
        )

    asyncio.run(main())
    assert {world.state(key) for key in keys} == {State.ARCHIVED}


def test_an_intent_about_what_is_gone_is_refused_and_nothing_is_written(world: World) -> None:
    key = world.add(Kind.THREAD)
    world.sweep()

    async def main() -> None:
        writer = SettlementWriter(world.registry, world.registry.claims.claimant("run"))
        await writer.intend(Intent(key, "run", NOW, "chats"))

    with pytest.raises(StoreError, match="gone"):
        asyncio.run(main())
    assert world.state(key) is State.DELETED
