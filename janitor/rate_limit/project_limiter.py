"""Whose call goes next: a bucket per verb, one queue, one limit of calls in flight."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from janitor.rate_limit.adaptive_concurrency import AdaptiveConcurrency
from janitor.rate_limit.forecast import Pace
from janitor.rate_limit.limiter import (
    AUTO,
    LONGEST,
    Allowance,
    Urgency,
    Verb,
    asked,
    ended,
    passed,
    per_minute,
    refused,
    take,
    token_bucket,
    told_limit,
)
from janitor.rate_limit.state import (
    Change,
    LimiterState,
    LimiterStore,
    LocalStore,
    TokenClaim,
    steady,
)

if TYPE_CHECKING:
    import httpx2

Sleep = Callable[[float], Awaitable[None]]


NO_RESERVATION = math.inf
"""Ranks behind every reservation."""


class WaitQueue:
    """Callers that wait, the most urgent first.

    Of equally urgent ones, those within a reservation go first, by its number; the others follow,
    first come, first served.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, float, int, asyncio.Future[None]]] = []
        self._number = count()

    def join(self, urgency: int, reservation: float = NO_RESERVATION) -> asyncio.Future[None]:
        """Join the queue; the future is done once it is the caller's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._heap, (urgency, reservation, next(self._number), turn))
        return turn

    def __bool__(self) -> bool:
        while self._heap and self._heap[0][-1].done():
            heappop(self._heap)
        return bool(self._heap)

    @property
    def is_joined(self) -> bool:
        """Whether any caller is in the queue, including those that gave up; changes nothing."""
        return bool(self._heap)

    @property
    def urgency(self) -> int:
        """The urgency of the first caller; only valid while somebody waits."""
        return self._heap[0][0]

    def call(self) -> bool:
        """Let the first caller pass; false if nobody waits."""
        if not self:
            return False
        heappop(self._heap)[-1].set_result(None)
        return True

    def fail(self, error: BaseException) -> None:
        """Raise an error for every caller that waits."""
        while self:
            heappop(self._heap)[-1].set_exception(error)


class Turnstile:
    """Lets one caller pass each time `ask` returns 0 seconds, the most urgent one first.

    `ask` is given that caller's urgency. While the turnstile sleeps for the time that `ask`
    returned, more urgent callers may still get ahead.
    """

    def __init__(self, ask: Callable[[int], Awaitable[float]], sleep: Sleep) -> None:
        self._ask = ask
        self._sleep = sleep
        self._line = WaitQueue()
        self._crank: asyncio.Task[None] | None = None

    @property
    def is_waited_at(self) -> bool:
        """Whether somebody waits; may be called from another thread."""
        return self._line.is_joined

    async def enter(self, urgency: int, reservation: float = NO_RESERVATION) -> None:
        """Wait for the caller's turn; raises what `ask` raises."""
        if not self._line and await self._ask(urgency) == 0:
            return
        turn = self._line.join(urgency, reservation)
        if self._crank is None or self._crank.done():
            self._crank = asyncio.create_task(self._turn())
        await turn

    async def _turn(self) -> None:
        try:
            while self._line:
                if wait := await self._ask(self._line.urgency):
                    await self._sleep(wait)
                else:
                    self._line.call()
        except Exception as error:  # noqa: BLE001 - it is told to those who wait, and to all of them
            self._line.fail(error)


class InFlightLimit:
    """At most `limit()` callers at once; those who wait enter in order of urgency."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._line = WaitQueue()
        self.taken = 0

    async def enter(self, urgency: int, reservation: float = NO_RESERVATION) -> None:
        """Wait for a place and take it."""
        if self.taken < self._limit() and not self._line:
            self.taken += 1
            return
        turn = self._line.join(urgency, reservation)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Free the place for as many callers as the limit now allows."""
        self.taken -= 1
        while self.taken < self._limit() and self._line.call():
            self.taken += 1


T = TypeVar("T")

AT_ONCE = 1200.0
NEWS = 1.0
"""Seconds until an unlimited caller checks for a pause, and one that gave way asks again."""


class StateView:
    """A project's state in the store, as this process last saw it.

    `tell` is called with the seconds that each pause adds, whichever process caused it.
    """

    def __init__(
        self,
        name: str,
        store: LimiterStore,
        clock: Callable[[], float],
        tell: Callable[[float], None],
    ) -> None:
        self._name = name
        self._store = store
        self._clock = clock
        self._tell = tell
        self._ahead = 0.0
        self.seen = store.look(name)

    def time(self) -> float:
        """The store's time, estimated from its last answer."""
        return self._clock() + self._ahead

    @property
    def paused(self) -> float:
        """The seconds until calls may go on."""
        return self.seen.pause.left(self.time())

    @property
    def stopped(self) -> float:
        """The seconds for which the project is not called at all."""
        return self.seen.pause.stopped(self.time())

    async def alter(self, change: Change[T]) -> T:
        """Change the state, and remember the new one as seen."""

        def seen(state: LimiterState, now: float) -> tuple[LimiterState, T]:
            after, answer = change(state, now)
            added = after.pause.until - max(now, self.seen.pause.until)
            self._ahead, self.seen = now - self._clock(), after
            if added > 0:
                self._tell(added)
            return after, answer

        return await self._store.alter(self._name, seen)

    async def ask(self, seconds: float | None, sent_at: float, longest: float) -> None:
        """Pause for as long as a server asked for; see `janitor.rate_limit.limiter.asked`."""

        def pause(state: LimiterState, now: float) -> tuple[LimiterState, None]:
            return state.with_pause(asked(state.pause, seconds, sent_at, now, longest)), None

        await self.alter(pause)


class Bucket:
    """The tokens of one verb, shared by all that share the store.

    At high rates it takes tokens and reports answers in batches of 50 ms, so that a shared store is
    not accessed for every call.
    """

    def __init__(
        self, verb: Verb, allowance: Allowance, state: StateView, tell: Callable[[float], None]
    ) -> None:
        self._verb = verb
        self._allowance = allowance
        self._state = state
        self._tell = tell
        self._told = 0.0
        self._tokens = 0
        self._answers = 0
        self._heard_at = 0.0
        self._show(state.seen)

    async def take(self, urgency: int) -> float:
        """Take a token and return 0, or return the seconds after which to ask again."""
        if self._allowance == "unlimited":
            # Without tokens there is no news of others' pauses, so look for them now and then.
            if self._state.time() - self._heard_at >= NEWS:
                await self._state.alter(lambda state, _: (state, None))
                self._heard_at = self._state.time()
            return 0.0 if self._state.stopped else self._state.paused
        if not self._tokens:
            wait = await self._state.alter(lambda state, now: self._take(state, now, urgency))
            if wait or self._state.stopped:
                return wait
        self._tokens -= 1
        return 0.0

    def give_back(self) -> None:
        """Return a token that was not needed."""
        if self._allowance != "unlimited" and not self._state.stopped:
            self._tokens += 1

    async def passed(self, response: httpx2.Response, sent_at: float) -> None:
        """Learn from an answer to a call sent at `sent_at`, in the store's time."""
        pause = self._state.seen.pause
        ends = pause.streak > 0 and sent_at >= pause.begun_at
        self._answers += 1
        if not ends and (self._allowance != "auto" or self._answers < self._at_once):
            return
        answers, self._answers = self._answers, 0
        told = told_limit(response.headers)

        def learn(state: LimiterState, now: float) -> tuple[LimiterState, None]:
            if ends:
                state = state.with_pause(ended(state.pause))
            if self._allowance == "auto":
                level = passed(state.level(self._verb), told, now, answers)
                state = state.with_level(self._verb, level)
            self._show(state)
            return state, None

        await self._state.alter(learn)

    async def refused(self, sent_at: float) -> None:
        """Learn from a 429 on a call sent at `sent_at`, in the store's time."""
        if self._allowance != "auto":
            return
        answers, self._answers = self._answers, 0

        def learn(state: LimiterState, now: float) -> tuple[LimiterState, None]:
            level = state.level(self._verb)
            if answers:
                level = passed(level, None, now, answers)
            state = state.with_level(self._verb, refused(level, sent_at, now))
            self._show(state)
            return state, None

        await self._state.alter(learn)

    @property
    def _at_once(self) -> int:
        return max(1, int(self._told / AT_ONCE))

    def _take(self, state: LimiterState, now: float, urgency: int) -> tuple[LimiterState, float]:
        if state.pause.stopped(now) or (left := state.pause.left(now)):
            return state, 0.0 if state.pause.stopped(now) else left
        claim = state.claims.get(self._verb)
        if claim is not None and claim.precedes(urgency, now):
            return state, min(NEWS, claim.until - now)
        tokens = self._at_once
        level = state.level(self._verb)
        level, wait = take(level, self._allowance, now, tokens)
        state = state.with_level(self._verb, level)
        self._show(state)
        if not wait:
            self._tokens += tokens
        if urgency < Urgency.SWEEP:
            until = TokenClaim(urgency, now + wait + NEWS) if wait else None
            state = state.with_claim(self._verb, until)
        return state, wait

    def _show(self, state: LimiterState) -> None:
        rate = per_minute(state.level(self._verb), self._allowance)
        if rate is not None and rate != self._told:
            self._told = rate
            self._tell(rate)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and how it was answered; `status` is `None` if no answer came."""

    method: str
    path: str
    status: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Paused:
    """The whole project waits this many seconds longer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class FoundRate:
    """The calls a minute to which a verb is now limited."""

    verb: Verb
    per_minute: float


Event = Exchange | Paused | FoundRate


@dataclass(slots=True)
class _Held:
    """A token taken before the request that will use it; `reservation` is the number it has."""

    limiter: ProjectLimiter
    verb: Verb
    reservation: float
    is_used: bool = False

    def fits(self, limiter: ProjectLimiter, verb: Verb) -> bool:
        return not self.is_used and self.limiter is limiter and self.verb is verb


_HELD: ContextVar[_Held | None] = ContextVar("held", default=None)
_RESERVATIONS = count()


class ProjectLimiter:
    """Decides when a project may be called; all callers of a project share one limiter.

    `rates` are calls a minute for each verb, `concurrency` the most calls in flight, `store` where
    the project's state is kept: all that share it share buckets and pauses. `clock` returns
    seconds since the epoch. Raises StoreError if the store does not answer.
    """

    def __init__(
        self,
        name: str,
        *,
        rates: Mapping[Verb, Allowance] = AUTO,
        concurrency: int = 32,
        store: LimiterStore | None = None,
        tell: Callable[[Event], None] = lambda _: None,
        longest: float = LONGEST,
        clock: Callable[[], float] | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        token_bucket()  # no call waits for its import
        self.name = name
        self.tell = tell
        self.clock = clock or steady()
        self.sleep = sleep
        self._longest = longest
        self._store = store or LocalStore(clock=self.clock)
        self._state = StateView(
            f"pace:{name}", self._store, self.clock, lambda added: self.tell(Paused(added))
        )
        self._rates: dict[Verb, Allowance] = {verb: rates.get(verb, "auto") for verb in Verb}
        self._buckets = {verb: self._bucket(verb, rate) for verb, rate in self._rates.items()}
        self._turnstiles = {verb: self._turnstile(bucket) for verb, bucket in self._buckets.items()}
        self.adaptive = AdaptiveConcurrency(concurrency)
        self._places = InFlightLimit(lambda: self.adaptive.limit)

    @property
    def paused(self) -> float:
        """The seconds until calls may go on."""
        return self._state.paused

    @property
    def stopped(self) -> float:
        """The seconds for which the project is not called at all; no call waits for their end."""
        return self._state.stopped

    @property
    def paces(self) -> dict[Verb, Pace]:
        """How fast each verb may go, as far as this process knows."""
        seen = self._state.seen
        return {verb: Pace(verb, rate, seen.level(verb)) for verb, rate in self._rates.items()}

    @property
    def concurrency(self) -> int:
        """The most calls in flight."""
        return self.adaptive.most

    @property
    def waiting(self) -> tuple[Verb, ...]:
        """The verbs whose calls are waiting for a token."""
        return tuple(verb for verb, line in self._turnstiles.items() if line.is_waited_at)

    @property
    def latency(self) -> float | None:
        """The smoothed seconds of one call, over all measured verbs; `None` if there is none."""
        known = [one.smooth for one in self.adaptive.latencies.values()]
        return sum(known) / len(known) if known else None

    @asynccontextmanager
    async def reserved(self, verb: Verb, urgency: Urgency) -> AsyncIterator[None]:
        """Wait for a token and keep it for the next request of its verb in this context.

        This way the facts that the request relies on can be read after the wait. An unused token
        is returned; a reservation within another one takes over its token and its number.
        """
        outer = _HELD.get()
        await self._enter(verb, urgency, outer)
        number = next(_RESERVATIONS) if outer is None else outer.reservation
        held = _Held(self, verb, number)
        token = _HELD.set(held)
        try:
            yield
        finally:
            _HELD.reset(token)
            if not held.is_used:
                self._buckets[verb].give_back()

    @asynccontextmanager
    async def admitted(self, verb: Verb, urgency: Urgency) -> AsyncIterator[float]:
        """Wait for a token, a free place and the end of a pause; yields the store's time.

        Does not wait while the project is stopped.
        """
        held = _HELD.get()
        await self._enter(verb, urgency, held)
        await self._places.enter(urgency, NO_RESERVATION if held is None else held.reservation)
        try:
            while self.paused and not self.stopped:
                await self.sleep(self.paused)
            yield self._state.time()
        finally:
            self._places.leave()

    async def _enter(self, verb: Verb, urgency: Urgency, held: _Held | None) -> None:
        """Wait for a token, unless the one `held` is for this.

        Reads go by the number of the reservation that they are made within. What one caller has
        read gets old while it waits for the rest, so it must not wait for others' first reads. A
        second token of the reserved verb is not preferred: long work would take them all.
        """
        if held is not None and held.fits(self, verb):
            held.is_used = True
        elif held is not None and verb is Verb.READ:
            await self._turnstiles[verb].enter(urgency, held.reservation)
        else:
            await self._turnstiles[verb].enter(urgency)

    def measured(self, verb: Verb, seconds: float, *, failed: bool) -> None:
        """Learn how long a call took until its answer's headers."""
        self.adaptive.answered(verb, seconds, in_flight=self._places.taken, failed=failed)

    async def passed(self, verb: Verb, response: httpx2.Response, sent_at: float) -> None:
        """Learn from an answer that is neither a 429 nor a 5xx."""
        await self._buckets[verb].passed(response, sent_at)

    async def refused(self, verb: Verb, sent_at: float, seconds: float | None) -> bool:
        """Learn from a 429; false if `seconds`, its `Retry-After`, is too long to wait."""
        await self._buckets[verb].refused(sent_at)
        return await self.asked(sent_at, seconds)

    async def asked(self, sent_at: float, seconds: float | None) -> bool:
        """Pause the project, for all that share the store, for `seconds` or the usual time.

        False if that is too long to wait: then the project is not called until it is over.
        """
        await self._state.ask(seconds, sent_at, self._longest)
        return seconds is None or seconds <= self._longest

    def save(self) -> None:
        """Save what was learned for the next run."""
        self._store.save()

    def _bucket(self, verb: Verb, allowance: Allowance) -> Bucket:
        return Bucket(verb, allowance, self._state, lambda rate: self.tell(FoundRate(verb, rate)))

    def _turnstile(self, bucket: Bucket) -> Turnstile:
        async def ask(urgency: int) -> float:
            if self.stopped:
                return 0.0
            return self.paused or await bucket.take(urgency)

        return Turnstile(ask, self.sleep)
