"""Shared calls: one answer for each question, none older than its question, few calls for many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.archive import ArchiveDamagedError
from janitor.engine.batcher import Batcher
from janitor.errors import light_failures


class Doubling:
    """Answers numbers with their doubles, and refuses what it is told to."""

    def __init__(self, refused: frozenset[int] = frozenset()) -> None:
        self.calls: list[list[int]] = []
        self.refused = refused

    def __call__(self, questions: Sequence[int]) -> list[int]:
        self.calls.append(list(questions))
        if self.refused.intersection(questions):
            raise ValueError(f"refused {sorted(self.refused.intersection(questions))}")
        return [2 * question for question in questions]


class Gate:
    """A blocking call that begins, waits to be let through, and says when it began."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.calls: list[list[str]] = []
        self.state = "old"

    def __call__(self, questions: Sequence[str]) -> list[str]:
        self.calls.append(list(questions))
        seen = self.state
        self.began.set()
        self.may_end.wait()
        return [seen for _ in questions]


@given(st.lists(st.integers(), max_size=50))
def test_each_question_gets_its_own_answer(numbers: list[int]) -> None:
    async def main() -> list[int]:
        batcher = Batcher(Doubling())
        return await asyncio.gather(*map(batcher.ask, numbers))

    assert asyncio.run(main()) == [2 * number for number in numbers]


@given(st.lists(st.lists(st.integers(), max_size=5), max_size=10))
def test_questions_asked_together_are_in_one_call(groups: list[list[int]]) -> None:
    doubling = Doubling()

    async def main() -> list[list[int]]:
        batcher = Batcher(doubling)
        return await asyncio.gather(*map(batcher.ask_all, groups))

    assert asyncio.run(main()) == [[2 * number for number in group] for group in groups]
    for group in filter(None, groups):
        assert any(str(group)[1:-1] in str(call) for call in doubling.calls)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.frozensets(st.integers(0, 9)))
def test_an_error_reaches_those_of_its_call_and_no_other(
    numbers: list[int], refused: frozenset[int]
) -> None:
    async def main() -> None:
        batcher = Batcher(Doubling(refused))
        for number in numbers:
            if number in refused:
                with pytest.raises(ValueError, match=f"refused \\[{number}\\]"):
                    await batcher.ask(number)
            else:
                assert await batcher.ask(number) == 2 * number

    asyncio.run(main())


def test_no_answer_is_older_than_its_question() -> None:
    gate = Gate()

    async def main() -> None:
        batcher = Batcher(gate)
        first = asyncio.create_task(batcher.ask("first"))
        await asyncio.to_thread(gate.began.wait)
        gate.state = "new"  # after the call under way has read, and before the others ask
        others = [asyncio.create_task(batcher.ask(name)) for name in ("second", "third")]
        await asyncio.sleep(0)
        gate.may_end.set()
        assert await asyncio.gather(first, *others) == ["old", "new", "new"]

    asyncio.run(main())
    assert gate.calls == [["first"], ["second", "third"]]


def test_whoever_is_cancelled_keeps_nobody_else_waiting() -> None:
    gate = Gate()

    async def main() -> None:
        batcher = Batcher(gate)
        first = asyncio.create_task(batcher.ask("first"))
        await asyncio.to_thread(gate.began.wait)
        second = asyncio.create_task(batcher.ask("second"))
        third = asyncio.create_task(batcher.ask("third"))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        gate.may_end.set()
        assert await third == "old"

    asyncio.run(main())


class Crash(BaseException):
    """Nothing catches it."""


def too_few(questions: Sequence[int]) -> list[int]:
    return list(questions[:-1])


def crash(_: Sequence[int]) -> list[int]:
    raise Crash


def stop(_: Sequence[int]) -> list[int]:
    raise StopIteration


@pytest.mark.parametrize("answer", [too_few, crash, stop])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_whatever_ends_a_call_nobody_waits_for_ever(
    answer: Callable[[Sequence[int]], list[int]],
) -> None:
    async def main() -> None:
        batcher = Batcher(answer)
        found = await asyncio.gather(*map(batcher.ask, range(3)), return_exceptions=True)
        assert [type(one) for one in found[1:]] == [RuntimeError] * 2 or answer is too_few
        assert isinstance(found[-1], RuntimeError)

    asyncio.run(main())


def test_each_asker_has_an_error_of_its_own() -> None:
    def fail(_: Sequence[int]) -> list[int]:
        raise ArchiveDamagedError("a/b", "gone") from OSError("disk")

    ended: list[int] = []

    async def work(batcher: Batcher[int, int], number: int) -> None:
        with light_failures():
            try:
                await batcher.ask(number)
            finally:
                for _ in range(number):  # others clear their frames meanwhile
                    await asyncio.sleep(0)
                ended.append(number)

    async def main() -> list[BaseException | None]:
        batcher = Batcher(fail)
        works = (work(batcher, number) for number in range(3))
        return await asyncio.gather(*works, return_exceptions=True)

    found = asyncio.run(main())
    assert sorted(ended) == [0, 1, 2]
    assert {type(one) for one in found} == {ArchiveDamagedError}
    assert len({id(one) for one in found}) == len(found)
    assert {(str(one), vars(one)["path"], repr(one.__cause__)) for one in found if one} == {
        (str(found[0]), "a/b", "OSError('disk')")
    }
