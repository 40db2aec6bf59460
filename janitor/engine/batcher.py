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
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for one in answers:
            if isinstance(one, BaseException):
                raise one
        return [one for one in answers if not isinstance(one, BaseException)]

    def _add(self, question: Q) -> asyncio.Future[A]:
        answered: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answered))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return answered

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            questions = [question for question, answered in batch]
            try:
                answers = await asyncio.to_thread(self._answer, questions)
            except Exception as error:  # noqa: BLE001 - handed to every asker
                for _, answered in batch:
                    if not answered.done():
                        answered.set_exception(error)
                continue
            for (_, answered), answer in zip(batch, answers, strict=True):
                if not answered.done():
                    answered.set_result(answer)
