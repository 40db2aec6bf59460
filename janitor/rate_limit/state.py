"""The state of a project's limits, kept by one process or in rows that replicas share."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Protocol, TypeVar

from janitor.errors import StoreError
from janitor.rate_limit.limiter import Level, RatePause, Verb, started

LONGEST_CLAIM = 600.0


@dataclass(frozen=True, slots=True)
class TokenClaim:
    """A claim on the next token: less urgent callers leave it alone before `until`."""

    urgency: int
    until: float

    def precedes(self, urgency: int, now: float) -> bool:
        """Whether a caller of this urgency has to wait; never after the clock was set back."""
        return self.urgency < urgency and 0 < self.until - now < LONGEST_CLAIM


@dataclass(frozen=True, slots=True)
class LimiterState:
    """The state of one project; times are seconds since the epoch by the store's clock."""

    levels: Mapping[Verb, Level] = field(default_factory=dict)
    claims: Mapping[Verb, TokenClaim] = field(default_factory=dict)
    pause: RatePause = field(default_factory=RatePause)

    def level(self, verb: Verb) -> Level:
        """The level of a bucket; a new bucket is full."""
        return started(self.levels.get(verb, Level()), verb)

    def with_level(self, verb: Verb, level: Level) -> LimiterState:
        """The state with a new level for one bucket."""
        return replace(self, levels={**self.levels, verb: level})

    def with_claim(self, verb: Verb, claim: TokenClaim | None) -> LimiterState:
        """The state with a claim on the next token, or without one."""
        others = {other: held for other, held in self.claims.items() if other is not verb}
        return replace(self, claims=others if claim is None else {**others, verb: claim})

    def with_pause(self, pause: RatePause) -> LimiterState:
        """The state with another pause."""
        return replace(self, pause=pause)

    @property
    def found(self) -> tuple[object, ...]:
        """What must survive if the process is killed; it seldom changes."""
        rates = [(verb, level.rate, level.found, level.cap) for verb, level in self.levels.items()]
        return (*sorted(rates, key=lambda one: one[0]), self.pause.stopped_until)


def written(state: LimiterState) -> str:
    """The state as text."""
    return json.dumps(asdict(state), separators=(",", ":"))


def read(text: str | None) -> LimiterState:
    """The state that a text holds; a new one if the text cannot be read."""
    try:
        document = json.loads(text or "{}")
        return LimiterState(
            {Verb(verb): Level(**level) for verb, level in document.get("levels", {}).items()},
            {Verb(verb): TokenClaim(**claim) for verb, claim in document.get("claims", {}).items()},
            RatePause(**document.get("pause", {})),
        )
    except (AttributeError, TypeError, ValueError):
        return LimiterState()


T = TypeVar("T")
Change = Callable[[LimiterState, float], tuple[LimiterState, T]]
"""Takes a state and the time; returns the new state and an answer for the caller."""


class LimiterMemory(Protocol):
    """Keeps small texts from one run to the next, as a registry's `key_values` do."""

    def recall(self, name: str) -> str | None: ...
    def remember(self, name: str, value: str) -> None: ...


class SharedRows(Protocol):
    """Changes small texts atomically between processes, as a registry's `key_values` do.

    `change` gets the current text (`None` if there is none) and the shared clock's time.
    """

    def recall(self, name: str) -> str | None: ...
    def alter(self, name: str, change: Callable[[str | None, datetime], str]) -> None: ...


class LimiterStore(Protocol):
    """Changes states atomically; it has a clock of its own."""

    def look(self, name: str) -> LimiterState: ...
    async def alter(self, name: str, change: Change[T]) -> T: ...
    def save(self) -> None: ...


def steady() -> Callable[[], float]:
    """A clock of seconds since the epoch that is never set back while this process runs."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class LocalStore:
    """The states of one process; `memory` carries them to the next.

    Memory is written at the end and when a rate or a stop changes: seldom, and not for every call.
    """

    def __init__(
        self, memory: LimiterMemory | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        self._memory = memory
        self._clock = clock or steady()
        self._states: dict[str, LimiterState] = {}

    def look(self, name: str) -> LimiterState:
        """A state; read from memory if this process has not seen it yet."""
        if name not in self._states:
            stored = None if self._memory is None else self._memory.recall(name)
            self._states[name] = read(stored)
        return self._states[name]

    async def alter(self, name: str, change: Change[T]) -> T:
        """Change a state."""
        before = self.look(name)
        after, answer = change(before, self._clock())
        self._states[name] = after
        if before.levels and after.found != before.found:
            self.save()
        return answer

    def save(self) -> None:
        """Store every state; a failing registry is ignored here and reported where it matters."""
        if self._memory is None:
            return
        with suppress(StoreError):
            for name, state in self._states.items():
                self._memory.remember(name, written(state))


class SharedStore:
    """The states of many processes, in rows that they share: one rate for all of them."""

    def __init__(self, rows: SharedRows) -> None:
        self._rows = rows

    def look(self, name: str) -> LimiterState:
        """A state; raises StoreError if the rows cannot be read."""
        return read(self._rows.recall(name))

    async def alter(self, name: str, change: Change[T]) -> T:
        """Change a state while nobody else does; raises StoreError as `look` does."""
        answers: list[T] = []  # one for each time that the change had to be retried

        def altered(text: str | None, now: datetime) -> str:
            state, answer = change(read(text), now.timestamp())
            answers.append(answer)
            return written(state)

        await asyncio.to_thread(self._rows.alter, name, altered)
        return answers[-1]

    def save(self) -> None:
        """Nothing is left to save."""


class ReadOnlyMemory:
    """A memory that is read and never written."""

    def __init__(self, memory: LimiterMemory) -> None:
        self._memory = memory

    def recall(self, name: str) -> str | None:
        """What was remembered."""
        return self._memory.recall(name)

    def remember(self, name: str, value: str) -> None:
        """Nothing is kept."""
