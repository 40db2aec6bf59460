"""How far a command is, how long it will take, and what it waits for.

Each command has one `Progress`. The working parts report each step to it; it estimates the time
left from the remaining calls and the rates at which they may now be sent.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from janitor.rate_limit import LATENCY, Event, Exchange, ProjectLimiter, Verb, forecast, verb_of
from janitor.registry import Registry
from janitor.texts import span

TRUSTED = 5
"""After this many threads, what they took counts as much as what was expected."""
SHOWN_AFTER, SHOWN_FROM = 10.0, 0.05
"""The time left is shown after this many seconds, or once this share of the step is done."""
EXPECTED = "expected_end"
"""The name under which the registry keeps when the open sweep is expected to end."""
STALE = timedelta(minutes=5)
"""How long an expected end is believed unless renewed: its janitor may have died."""


class Progress:
    """The step that is under way: its name, what it counts, how much of it is done.

    `clock` returns seconds that never go back. Another OS thread than the working one reads the
    progress.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limiters: dict[str, ProjectLimiter] = {}
        self._made: Counter[tuple[str, Verb]] = Counter()
        self._under_way = 0
        self.begin("starting")

    def begin(
        self,
        title: str,
        total: int | None = None,
        *,
        noun: str = "threads",
        calls: Mapping[tuple[str, Verb], float] | None = None,
        most: timedelta | None = None,
    ) -> None:
        """Begin a step of `total` things (`None`: unknown), which may take at most `most`.

        `calls` are the calls that it is expected to take, by project and verb.
        """
        self._most = most
        self.title, self.total, self.noun, self.done = title, total, noun, 0
        self._begun_at = self._clock()
        self._made.clear()
        self._expected = dict(calls or {})

    def waits(self, most: timedelta, what: str = "holds the run") -> Callable[[str], None]:
        """Return a function that shows who holds a lock; the wait for it takes at most `most`."""
        return lambda holder: self.begin(f"waiting for {holder}, which {what}", most=most)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count one thing as under way while the body runs, and as done when it succeeds."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
        self.advance()

    def advance(self, steps: int = 1) -> None:
        """Count this many more as done."""
        self.done += steps

    def reach(self, place: int) -> None:
        """Set how many are done in all."""
        self.done = place

    def watch(self, limiter: ProjectLimiter) -> None:
        """Use this limiter to estimate when its project's calls can be sent."""
        self._limiters[limiter.name] = limiter

    def hear(self, project: str, event: Event) -> None:
        """Count a call that was made."""
        if isinstance(event, Exchange):
            self._made[project, verb_of(event.method)] += 1

    @property
    def left(self) -> float | None:
        """The estimated seconds left; `None` if unknown."""
        if self.total is None or (not self.done and not self._expected):
            return None
        if self.done >= self.total:
            return 0.0
        if self._limiters and (self._made or self._expected):
            return max((self._left_in(one) for one in self._limiters.values()), default=None)
        passed = self._clock() - self._begun_at
        return passed * (self.total - self.done) / self.done if self.done else None

    def _left_in(self, limiter: ProjectLimiter) -> float:
        calls = {verb: self._calls_left(limiter.name, verb) for verb in Verb}
        now, most = limiter.clock(), limiter.concurrency
        latency = LATENCY if limiter.latency is None else limiter.latency
        end = forecast(calls, limiter.paces, now=now, concurrency=most, latency=latency)
        return end.seconds

    def _calls_left(self, project: str, verb: Verb) -> float:
        """The expected calls that are left, corrected by what the threads so far have taken.

        Threads under way are assumed to have made half of their calls.
        """
        made, expected = self._made[project, verb], self._expected.get((project, verb))
        seen = made / (self.done + self._under_way / 2) * (self.total or 0) if self.done else 0.0
        if expected is None:
            return max(0.0, seen - made)
        trust = self.done**2 / (self.done**2 + TRUSTED**2)
        return max(0.0, expected * (1 - trust) + seen * trust - made)

    def line(self) -> str:
        """Everything in one line, without a full stop."""
        return "; ".join([self._far(), *self._waits()])

    def _far(self) -> str:
        passed, left = self._clock() - self._begun_at, self.left
        if self._most is not None:
            return f"{self.title}: {span(passed)} of {span(self._most.total_seconds())}"
        if self.total is None:
            far = f"{self.done:,} {self.noun}, " if self.done else ""
            return f"{self.title}: {far}{span(passed)} so far"
        far = f"{self.title}: {self.done:,} of {max(self.total, self.done):,} {self.noun}"
        is_early = passed < SHOWN_AFTER and self.done < self.total * SHOWN_FROM
        return far if left is None or is_early else f"{far}, about {span(left)} left"

    def _waits(self) -> Iterator[str]:
        """What the projects' calls wait for, and how they could go faster."""
        for name, limiter in self._limiters.items():
            if limiter.stopped or limiter.paused:
                seconds = max(limiter.stopped, limiter.paused)
                yield f"project {name} waits {span(seconds)}, as its server asked"
                continue
            for verb in limiter.waiting:
                pace = limiter.paces[verb]
                if pace.per_minute is not None:
                    yield (
                        f"waiting for the {verb} rate: {pace.per_minute:,.0f}/min, "
                        f"{pace.origin.words}; set projects.{name}.rate.{verb} to go faster"
                    )


@dataclass(frozen=True, slots=True)
class ExpectedEnd:
    """When an open sweep is expected to end, as its janitor last reported."""

    run: str
    mode: str
    at: datetime


def tell_end(registry: Registry, run: str, progress: Progress, now: datetime) -> None:
    """Store when the run is expected to end, for other processes that ask. Blocks."""
    if (left := progress.left) is not None:
        document = [run, (now + timedelta(seconds=left)).isoformat(), now.isoformat()]
        registry.key_values.remember(EXPECTED, orjson.dumps(document).decode())


def expected_end(registry: Registry, now: datetime) -> ExpectedEnd | None:
    """When the open sweep is expected to end; `None` if none is open, or that is unknown."""
    text, run = registry.key_values.recall(EXPECTED), registry.runs.current_sweep()
    if not text or run is None:
        return None
    told_of, at, told_at = orjson.loads(text)
    if told_of != run.id or now - datetime.fromisoformat(told_at) > STALE:
        return None
    return ExpectedEnd(run.id, run.mode, datetime.fromisoformat(at))
