"""The pace of one project: a bucket for each verb, one pause, one limit of calls in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import httpx2

from janitor.pace.bucket import Bucket, Passbook
from janitor.pace.crowd import Crowd
from janitor.pace.ledger import Ledger, Own, steady
from janitor.pace.pausing import LONGEST
from janitor.pace.queueing import Places, Sleep, Turnstile
from janitor.pace.rates import AUTO, Allowance, Urgency, Verb


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and how it was answered; `status` is `None` where no answer came."""

    method: str
    path: str
    status: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Paused:
    """The whole project waits for so many seconds more."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Paced:
    """The calls a minute that a verb is now kept at."""

    verb: Verb
    per_minute: float


Event = Exchange | Paused | Paced


@dataclass(slots=True)
class _Held:
    """A token taken before the request that is to use it."""

    pace: ProjectPace
    verb: Verb
    is_used: bool = False

    def fits(self, pace: ProjectPace, verb: Verb) -> bool:
        return not self.is_used and self.pace is pace and self.verb is verb


_HELD: ContextVar[_Held | None] = ContextVar("held", default=None)


class ProjectPace:
    """Who may call a project, and when; everything that calls it shares one.

    `rates` are calls a minute for each verb, `concurrency` the most calls in flight, `ledger` where
    the project's account is kept: those who share it share buckets and pauses. `clock` gives
    seconds since the epoch. Raises StoreError where the ledger does not answer.
    """

    def __init__(
        self,
        name: str,
        *,
        rates: Mapping[Verb, Allowance] = AUTO,
        concurrency: int = 32,
        ledger: Ledger | None = None,
        tell: Callable[[Event], None] = lambda _: None,
        longest: float = LONGEST,
        clock: Callable[[], float] | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.name = name
        self.tell = tell
        self.clock = clock or steady()
        self.sleep = sleep
        self._longest = longest
        self._ledger = ledger or Own(clock=self.clock)
        self._book = Passbook(f"pace:{name}", self._ledger, self.clock, self._waiting)
        self._buckets = {verb: self._bucket(verb, rates.get(verb, "auto")) for verb in Verb}
        self._turnstiles = {verb: self._turnstile(bucket) for verb, bucket in self._buckets.items()}
        self.crowd = Crowd(concurrency)
        self._places = Places(lambda: self.crowd.limit)

    @property
    def paused(self) -> float:
        """The seconds until calls may go on."""
        return self._book.paused

    @property
    def stopped(self) -> float:
        """The seconds for which the project is not called at all; nobody waits for their end."""
        return self._book.stopped

    @asynccontextmanager
    async def reserved(self, verb: Verb, urgency: Urgency) -> AsyncIterator[None]:
        """Wait for a token and keep it for one request, the next of its verb in this context.

        What that request rests on can so be looked at after the waiting. A token that is not used
        goes back; within another reservation that one's is handed on.
        """
        outer, held = _HELD.get(), _Held(self, verb)
        if outer is not None and outer.fits(self, verb):
            outer.is_used = True
        else:
            await self._turnstiles[verb].enter(urgency)
        token = _HELD.set(held)
        try:
            yield
        finally:
            _HELD.reset(token)
            if not held.is_used:
                self._buckets[verb].give_back()

    @asynccontextmanager
    async def admitted(self, verb: Verb, urgency: Urgency) -> AsyncIterator[float]:
        """Wait for a token and a place, and for the end of a pause; gives the ledger's time.

        Nothing is waited for while the project is stopped.
        """
        held = _HELD.get()
        if held is not None and held.fits(self, verb):
            held.is_used = True
        else:
            await self._turnstiles[verb].enter(urgency)
        await self._places.enter(urgency)
        try:
            while self.paused and not self.stopped:
                await self.sleep(self.paused)
            yield self._book.time()
        finally:
            self._places.leave()

    def measured(self, verb: Verb, seconds: float, *, failed: bool) -> None:
        """Learn how long a call took to its answer's headers."""
        self.crowd.answered(verb, seconds, in_flight=self._places.taken, failed=failed)

    async def passed(self, verb: Verb, response: httpx2.Response, sent_at: float) -> None:
        """Learn from an answer that a server in order gave to a call sent at `sent_at`."""
        await self._buckets[verb].passed(response, sent_at)

    async def refused(self, verb: Verb, sent_at: float, seconds: float | None) -> bool:
        """Learn from a 429 that waiting cures; false where its `seconds` are too many to wait."""
        await self._buckets[verb].refused(sent_at)
        return await self.asked(sent_at, seconds)

    async def asked(self, sent_at: float, seconds: float | None) -> bool:
        """Pause the project, for all who share the ledger, for `seconds` or for what is usual.

        False where that is too long to wait: nobody calls meanwhile.
        """
        await self._book.ask(seconds, sent_at, self._longest)
        return seconds is None or seconds <= self._longest

    def save(self) -> None:
        """Remember what was found, for the next run."""
        self._ledger.save()

    def _waiting(self, added: float) -> None:
        self.tell(Paused(added))

    def _bucket(self, verb: Verb, allowance: Allowance) -> Bucket:
        return Bucket(verb, allowance, self._book, lambda rate: self.tell(Paced(verb, rate)))

    def _turnstile(self, bucket: Bucket) -> Turnstile:
        async def ask(urgency: int) -> float:
            if self.stopped:
                return 0.0
            return self.paused or await bucket.take(urgency)

        return Turnstile(ask, self.sleep)
