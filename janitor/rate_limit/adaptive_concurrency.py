"""How many calls a server handles at once without queueing them."""

from __future__ import annotations

from dataclasses import dataclass, field

TOLERATED = 3.0
SLACK = 0.010
QUICK = 0.1
LESS = 0.9


@dataclass(slots=True)
class Latency:
    """The smoothed time until an answer's headers, and its value while nothing queues."""

    smooth: float = 0.0
    least: float = 0.0

    def add(self, seconds: float, *, alone: bool) -> bool:
        """Add a measurement; true if calls now queue.

        A call that is `alone` waits behind no other of ours, so its time is the new least: this is
        how a server that has become slower is noticed.
        """
        self.smooth = self.smooth + QUICK * (seconds - self.smooth) if self.least else seconds
        self.least = self.smooth if alone else min(self.least or seconds, self.smooth)
        return self.smooth > self.least * TOLERATED + SLACK


@dataclass(slots=True)
class AdaptiveConcurrency:
    """A limit of calls in flight that adapts to latency: from 1 to `most`, starting at `most`.

    Additive increase, multiplicative decrease (Chiu and Jain, 1989), on latency as in TCP Vegas
    (Brakmo and Peterson, 1994): by Little's law, calls that take three times as long as the
    quickest spend two thirds of their time in a queue, and fewer at once get as much done. Each
    verb is measured separately, since a page of items takes longer than a deletion. The limit
    shrinks at most once per limit's worth of answers, since those in flight reflect the old limit.
    """

    most: int
    size: float = 0.0
    latencies: dict[str, Latency] = field(default_factory=dict)
    _answers: float = 0.0

    def __post_init__(self) -> None:
        self.size = float(self.most)

    @property
    def limit(self) -> int:
        """How many calls may be in flight, at least 1."""
        return max(1, int(self.size))

    def answered(self, verb: str, seconds: float, *, in_flight: int, failed: bool = False) -> None:
        """Learn from an answer or a failure: an overloaded server answers with errors."""
        # A refused connection is quick and a time-out is slow: neither says how long a call takes.
        latency = self.latencies.setdefault(verb, Latency())
        queueing = failed or latency.add(seconds, alone=self.limit == 1)
        self._answers += 1
        if queueing:
            if self._answers >= self.size:
                self.size, self._answers = max(1.0, self.size * LESS), 0.0
        elif in_flight >= self.limit:
            self.size = min(float(self.most), self.size + 1 / self.size)
