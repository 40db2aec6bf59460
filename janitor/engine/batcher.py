"""Lets those who wait at the same moment share one blocking call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Batcher(Generic[Q, A]):
    """Answers questions in batches: those asked while a call is under way share the next one.

    A call begins after each of its questions was asked, so no answer is older than its question.
    `answer` runs in a thread, one call at a time. It gets the questions in the order in which they
    were asked, and returns as many answers; what it raises reaches each of its askers.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Sequence[A]]) -> None:
        self._answer = answer
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """The answer; raises what the call raises."""
        return await self._add(question)

    async def ask_all(self, questions: Sequence[Q]) -> list[A]:
        """The answers to these questions, from one call; raises what that raises."""
        asked = [self._add(question) for question in questions]
        answers = list[A]()
        for answered in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answered, BaseException):
                raise answered
            answers.append(answered)
        return answers

    def _add(self, question: Q) -> asyncio.Future[A]:
        answered: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answered))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return answered

    async def _drain(self) -> None:
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                found = await asyncio.to_thread(self._found, [question for question, _ in batch])
                for (_, answered), answer in zip(batch, found, strict=True):
                    _settle(answered, answer)
        except BaseException as error:
            # Whoever waits must not wait for ever, whatever ended this.
            ended = RuntimeError(f"no answer: {type(error).__name__}")
            for _, answered in (*batch, *self._waiting):
                _settle(answered, ended)
            self._waiting = []
            raise

    def _found(self, questions: Sequence[Q]) -> Sequence[A | Exception]:
        """The answers of one call, or its error for each question. Blocks."""
        try:
            return self._answer(questions)
        except StopIteration as error:  # no task can hand it on
            return _for_each(RuntimeError(repr(error)), len(questions))
        except Exception as error:  # noqa: BLE001 - handed to every asker
            return _for_each(error, len(questions))


def _settle(answered: asyncio.Future[A], answer: A | Exception) -> None:
    if answered.done():
        return
    if isinstance(answer, Exception):
        answered.set_exception(answer)
    else:
        answered.set_result(answer)


def _for_each(error: Exception, number: int) -> list[Exception]:
    """The error, and copies of it, so that each asker has one of its own.

    A shared one would gather the frames of all askers. Whoever clears these (`light_failures`)
    would end the work of the others.
    """
    return [error, *(_copy(error) for _ in range(number - 1))]


def _copy(error: Exception) -> Exception:
    # Not by `copy`, which calls `__init__` with arguments that may be others.
    one = type(error).__new__(type(error), *error.args)
    one.__dict__.update(error.__dict__)
    one.args, one.__cause__ = error.args, error.__cause__
    one.__context__, one.__suppress_context__ = error.__context__, error.__suppress_context__
    return one.with_traceback(error.__traceback__)
