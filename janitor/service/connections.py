"""How long a peer may keep a connection waiting, and which one ends where there are too many.

Pure: whoever asks says what time it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


class Phase(StrEnum):
    """What a connection waits for."""

    REQUEST = "request"
    """Its peer is silent, or has sent a part of a request's headers."""
    BODY = "body"
    """The headers are here, the body is not."""
    WORK = "work"
    """The request is complete and the service is at work: nobody but we is to blame."""
    ANSWER = "answer"
    """Its peer does not read what it is answered."""


class Cause(StrEnum):
    """Why a connection or a request is refused, as it is told after a number."""

    ROOM = "closed to make room for newer connections"
    LATE = "closed for want of a complete request in time"
    UNREAD = "closed for an answer not read in time"
    MALFORMED = "closed for a request that is not valid HTTP"
    BUSY = "told to try again because too many requests were in progress"
    DESCRIPTORS = "not accepted for want of a free file descriptor"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many connections there may be, how many requests in progress, and seconds.

    `request` and `body` are for what a peer sends, `answer` for what it reads.
    """

    connections: int = 200
    requests: int = 64
    request: float = 5.0
    body: float = 10.0
    answer: float = 10.0

    @classmethod
    def within(cls, descriptors: int) -> Bounds:
        """Bounds that leave three quarters of a process's descriptors to its other work."""
        usual = cls()
        if descriptors < 0:  # RLIM_INFINITY
            return usual
        connections = max(8, min(usual.connections, descriptors // 4))
        return cls(connections, min(usual.requests, connections // 2))

    @property
    def accepted_at_once(self) -> int:
        """How many asyncio accepts before it looks at any: they come on top of the bound."""
        return max(4, self.connections // 4)

    def seconds(self, phase: Phase) -> float | None:
        """How long a phase may last, `None` where the peer has no part in it."""
        limits = {
            Phase.REQUEST: self.request,
            Phase.BODY: self.body,
            Phase.ANSWER: self.answer,
        }
        return limits.get(phase)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a connection waits for, and since when on a clock that only goes forward."""

    phase: Phase
    since: float

    def is_overdue(self, now: float, bounds: Bounds) -> bool:
        """Whether its peer has had its time."""
        limit = bounds.seconds(self.phase)
        return limit is not None and now - self.since >= limit


def surplus(connections: Mapping[K, Progress], bounds: Bounds) -> list[K]:
    """Which connections end so that no more than the bound remain.

    Those that wait for their peers, the longest wait first. None ends whose request is in
    progress: beyond their own bound such are refused, and close before others can come, so they
    are not counted here.
    """
    waiting = [key for key, one in connections.items() if one.phase is not Phase.WORK]
    waiting.sort(key=lambda key: connections[key].since)
    working = min(len(connections) - len(waiting), bounds.requests)
    return waiting[: max(0, len(waiting) + working - bounds.connections)]


class Refusals:
    """Counts what is refused, and tells of it once in `every` seconds at most."""

    def __init__(self, every: float = 60.0) -> None:
        self._every = every
        self._counts: Counter[Cause] = Counter()
        self._told_at: float | None = None

    def count(self, cause: Cause) -> None:
        """Count one."""
        self._counts[cause] += 1

    def message(self, now: float, *, last: bool = False) -> str | None:
        """What was refused since the message before; `last` does not wait for its time."""
        told_lately = self._told_at is not None and now - self._told_at < self._every
        if not self._counts or (told_lately and not last):
            return None
        said = ", ".join(f"{number} {cause}" for cause, number in self._counts.most_common())
        self._counts.clear()
        self._told_at = now
        return f"HTTP: {said}"
