"""The pace of one project: a bucket for each verb, one pause, one limit of calls in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from janitor.pace.crowd import Crowd
from janitor.pace.ledger import Ledger, Own, steady
from janitor.pace.level import Level, passed, per_minute, refused, take
from janitor.pace.pausing import LONGEST, Pause
from janitor.pace.queueing import Places, Sleep, Turnstile
from janitor.pace.rates import AUTO, Allowance, Urgency, Verb, told_limit


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


AT_ONCE = 1200.0


class Bucket:
    """The tokens of one verb: those of all who share the ledger.

    At high rates it takes, and tells of answers, by what 50 ms are worth, so that a ledger that
    many share is not asked for each call.
    """

    def __init__(
        self,
        name: str,
        allowance: Allowance,
        ledger: Ledger,
        clock: Callable[[], float],
        tell: Callable[[float], None],
    ) -> None:
        self._name = name
        self._allowance = allowance
        self._ledger = ledger
        self._clock = clock
        self._ahead = 0.0
        self._tell = tell
        self._told = 0.0
        self._tokens = 0
        self._answers = 0

    async def take(self) -> float:
        """Take a token and answer 0; or the seconds after which to ask again."""
        if self._allowance == "unlimited":
            return 0.0
        if not self._tokens:
            wait = await self._ledger.alter(self._name, self._take)
            if wait:
                return wait
        self._tokens -= 1
        return 0.0

    def time(self) -> float:
        """The ledger's time, as far as its last answer tells."""
        return self._clock() + self._ahead

    async def answered(self, response: httpx2.Response, sent_at: float, *, limited: bool) -> None:
        """Learn from an answer to a call sent at `sent_at` of the ledger's time."""
        if self._allowance != "auto":
            return
        self._answers += not limited
        if not limited and self._answers < self._at_once:
            return
        answers, self._answers = self._answers, 0
        told = told_limit(response.headers)

        def learn(level: Level, now: float) -> tuple[Level, None]:
            if answers:
                level = passed(level, told, now, answers)
            if limited:
                level = refused(level, sent_at, now)
            self._notice(level, now)
            return level, None

        await self._ledger.alter(self._name, learn)

    @property
    def _at_once(self) -> int:
        return max(1, int(self._told / AT_ONCE))

    def _take(self, level: Level, now: float) -> tuple[Level, float]:
        tokens = self._at_once
        level, wait = take(level, self._allowance, now, tokens)
        self._notice(level, now)
        if not wait:
            self._tokens += tokens
        return level, wait

    def _notice(self, level: Level, now: float) -> None:
        self._ahead = now - self._clock()
        rate = per_minute(level, self._allowance)
        if rate is not None and rate != self._told:
            self._told = rate
            self._tell(rate)


class ProjectPace:
    """Who may call a project, and when; everything that calls it shares one.

    `rates` are calls a minute for each verb, `concurrency` the most calls in flight, `ledger` where
    the levels of the buckets are kept. `clock` gives seconds since the epoch.
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
        self.pause = Pause(self.clock, sleep, lambda added: tell(Paused(added)), longest)
        self._ledger = ledger or Own(clock=self.clock)
        self._buckets = {verb: self._bucket(verb, rates.get(verb, "auto")) for verb in Verb}
        self._turnstiles = {verb: self._turnstile(bucket) for verb, bucket in self._buckets.items()}
        self.crowd = Crowd(concurrency)
        self._places = Places(lambda: self.crowd.limit)

    @asynccontextmanager
    async def admitted(self, verb: Verb, urgency: Urgency) -> AsyncIterator[float]:
        """Wait for a token and a place, and for the end of a pause; gives the ledger's time.

        Nothing is waited for while the project is stopped.
        """
        await self._turnstiles[verb].enter(urgency)
        await self._places.enter(urgency)
        try:
            await self.pause.over()
            yield self._buckets[verb].time()
        finally:
            self._places.leave()

    def measured(self, verb: Verb, seconds: float, *, failed: bool) -> None:
        """Learn how long a call took to its answer's headers."""
        self.crowd.answered(verb, seconds, in_flight=self._places.taken, failed=failed)

    async def passed(self, verb: Verb, response: httpx2.Response, sent_at: float) -> None:
        """Learn from an answer that a server in order gave."""
        self.pause.ended()
        await self._buckets[verb].answered(response, sent_at, limited=False)

    async def refused(self, verb: Verb, response: httpx2.Response, sent_at: float) -> None:
        """Learn from a 429 that waiting cures."""
        await self._buckets[verb].answered(response, sent_at, limited=True)

    def save(self) -> None:
        """Remember what was found, for the next run."""
        self._ledger.save()

    def _bucket(self, verb: Verb, allowance: Allowance) -> Bucket:
        return Bucket(
            f"pace:{self.name}:{verb}",
            allowance,
            self._ledger,
            self.clock,
            lambda rate: self.tell(Paced(verb, rate)),
        )

    def _turnstile(self, bucket: Bucket) -> Turnstile:
        async def ask() -> float:
            if self.pause.stopped:
                return 0.0
            return self.pause.left or await bucket.take()

        return Turnstile(ask, self.sleep)
