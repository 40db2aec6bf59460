"""Two ways of doing the same work, taking turns, and how their times compare."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Act = Callable[[], object]
Clock = Callable[[], float]


class Pair(float):
    """A ratio, with what was measured on both sides: seconds, threads a second, MiB."""

    ours: float
    reference: float

    @classmethod
    def of(cls, ours: float, reference: float) -> Pair:
        """Ours ÷ the reference's."""
        pair = cls(ours / reference)
        pair.ours, pair.reference = ours, reference
        return pair

    def inverted(self) -> Pair:
        """How much faster ours is, where these are the times of the same work."""
        pair = Pair(1 / self)
        pair.ours, pair.reference = self.ours, self.reference
        return pair


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the table: a ratio for each pair, and what their median should reach.

    `at_most` targets are times, ours ÷ the reference's; the others are speeds, so that more is
    better. `unit` is that of what was measured on both sides.
    """

    id: str
    measure: str
    target: float
    ratios: tuple[float, ...]
    at_most: bool = False
    unit: str = "s"

    @property
    def sides(self) -> tuple[float, float] | None:
        """The medians of ours and of the reference, where both were measured."""
        pairs = [one for one in self.ratios if isinstance(one, Pair)]
        if not pairs:
            return None
        ours = statistics.median(pair.ours for pair in pairs)
        return ours, statistics.median(pair.reference for pair in pairs)

    @property
    def median(self) -> float:
        """What is compared with the target."""
        return statistics.median(self.ratios)

    @property
    def shown(self) -> str:
        """The line of the table."""
        sign = "≤" if self.at_most else "≥"
        least, most = min(self.ratios), max(self.ratios)
        spread = f"{least:.3f} to {most:.3f} in {len(self.ratios)}"
        return f"{self.id:4} {self.measure:52} {self.median:7.3f}  {sign} {self.target:<5} {spread}"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: so many pairs, so many calls in a half, and a share of the rows."""

    pairs: int
    calls: int
    share: float

    def rows(self, number: int) -> int:
        """So many rows of a measure that has `number` of them in full."""
        return max(1, int(number * self.share))


def times(
    ours: Act, reference: Act, pairs: int, clock: Clock = time.process_time
) -> Iterator[Pair]:
    """The time that ours takes ÷ the reference's, for each pair; who begins changes."""
    for number in range(pairs):
        spent = dict.fromkeys((ours, reference), 0.0)
        for act in (ours, reference) if number % 2 else (reference, ours):
            begun = clock()
            act()
            spent[act] = clock() - begun
        yield Pair.of(spent[ours], spent[reference])


def speeds(
    ours: Act, reference: Act, pairs: int, clock: Clock = time.process_time
) -> Iterator[Pair]:
    """How fast ours is ÷ the reference, for each pair."""
    return (pair.inverted() for pair in times(ours, reference, pairs, clock))
