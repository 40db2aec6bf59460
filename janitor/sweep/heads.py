"""The heads of `keep_last` groups: who of them was seen alive in a run, and who is to be asked.

A place is taken only by a thread that this run has seen alive. The registry remembers that, so
that janitors of one run share it and memory stays flat; here stands what it does not: who was not
there or did not answer, and whose answer is still awaited.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum, auto

from janitor.model import Key, Reason
from janitor.registry import Entry

REMEMBERED_AT_MOST = 10_000


class Answer(Enum):
    """What came of asking for a head.

    `ELSEWHERE` is alive and by its metadata no longer in the groups that the registry has it in;
    `FAILED` is no answer to believe. `UNHEARD` may not be asked for, `UNPROBED` not now.
    """

    ALIVE = auto()
    GONE = auto()
    ELSEWHERE = auto()
    FAILED = auto()
    UNHEARD = auto()
    UNPROBED = auto()


SETTLED = frozenset({Answer.GONE, Answer.FAILED})
NO_PLACE = frozenset({Answer.GONE, Answer.ELSEWHERE})

Ask = Callable[[Entry], Awaitable[Answer]]


class Heads:
    """Asks each head once in a run, for all groups and policies that it is a head of.

    `since` is the run's start: who was seen alive at or after it needs no asking. `reason` is why a
    thread is kept where an answer is missing.
    """

    def __init__(self, since: datetime, ask: Ask, reason: Reason = Reason.UNANSWERED) -> None:
        self._since = since
        self._ask = ask
        self.reason = reason
        self._answers: OrderedDict[Key, Answer] = OrderedDict()
        self._awaited: dict[Key, asyncio.Future[Answer]] = {}

    @classmethod
    def unheard(cls, now: datetime) -> Heads:
        """Heads of whom nobody is asked: what rests on them is `not_probed`."""

        async def ask(_: Entry) -> Answer:
            return Answer.UNPROBED

        return cls(now, ask, Reason.NOT_PROBED)

    def is_alive(self, entry: Entry) -> bool:
        """Whether it was seen alive in this run, and nothing was heard against it since."""
        if entry.missing_since is not None:
            return False
        answer = self._answers.get(entry.thread.key)
        return answer is Answer.ALIVE if answer is not None else self._was_seen(entry)

    def is_open(self, entry: Entry) -> bool:
        """Whether it was seen alive, or has not been asked for and may turn out to be."""
        is_unprobed = self._answers.get(entry.thread.key) is Answer.UNPROBED
        return self.is_alive(entry) or self.is_unasked(entry) or is_unprobed

    def is_unasked(self, entry: Entry) -> bool:
        """Whether it was neither seen in this run nor asked for yet."""
        is_heard = entry.thread.key in self._answers or self._was_seen(entry)
        return entry.missing_since is None and not is_heard

    def may_be_alive(self, entry: Entry) -> bool:
        """Whether nothing says that it is gone; it may not have been asked for, or in vain."""
        is_gone = self._answers.get(entry.thread.key) in NO_PLACE
        return entry.missing_since is None and not is_gone

    def is_settled(self, key: Key) -> bool:
        """Whether it was asked for already and the end of that is settled, so that it is done."""
        return self._answers.get(key) in SETTLED

    def hear(self, key: Key, answer: Answer) -> None:
        """Take in what came of asking for a thread, for its own sake or for another's."""
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > REMEMBERED_AT_MOST:
            self._answers.popitem(last=False)

    @contextmanager
    def awaiting(self, key: Key) -> Iterator[Callable[[Answer], None]]:
        """Let others wait while a thread is asked for its own sake; yields how to tell them."""
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._awaited[key] = told

        def tell(answer: Answer) -> None:
            self.hear(key, answer)
            told.set_result(answer)

        try:
            yield tell
        finally:
            self._awaited.pop(key, None)
            if not told.done():
                told.set_result(Answer.UNHEARD)

    async def ask(self, entries: Sequence[Entry]) -> None:
        """Ask for all of these; who is being asked for already is waited for.

        Raises:
            StoppedError, LimitError, ClaimLostError, StoreError: As the asking does.
        """
        await asyncio.gather(*(self._once(entry) for entry in entries))

    async def _once(self, entry: Entry) -> None:
        key = entry.thread.key
        awaited = self._awaited.get(key)
        if awaited is None:
            awaited = self._awaited[key] = asyncio.ensure_future(self._ask(entry))
            awaited.add_done_callback(lambda _: self._awaited.pop(key, None))
        self.hear(key, await awaited)

    def _was_seen(self, entry: Entry) -> bool:
        alive_at = entry.sightings.alive_at
        return alive_at is not None and alive_at >= self._since
