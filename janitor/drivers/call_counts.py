"""How many calls each method of a driver makes. Pure; a test holds it to the drivers."""

from __future__ import annotations

from typing import NamedTuple

from janitor.drivers.connect import driver_class
from janitor.kinds import CATALOGUE, PAGE, Kind


class Calls(NamedTuple):
    """Calls by verb; fractions where they are a mean."""

    deletes: float = 0.0
    reads: float = 0.0
    writes: float = 0.0

    def plus(self, other: Calls) -> Calls:
        """The calls of both."""
        return Calls(*(one + more for one, more in zip(self, other, strict=True)))

    def times(self, number: float) -> Calls:
        """So many times the calls."""
        return Calls(*(number * one for one in self))


def probe_calls(kind: Kind) -> Calls:
    """The container, its newest item, and the parts that tell whether it is in use."""
    return Calls(reads=2 + driver_class(kind).probed_parts)


def export_calls(kind: Kind, items: float) -> Calls:
    """The container, its items by pages, and one page of each part that can be listed."""
    driver = driver_class(kind)
    parts = sum(part not in driver.streamed_parts for part in driver.parts)
    return Calls(reads=1 + pages(items) + parts)


def delete_calls(kind: Kind, items: float, *, items_first: bool) -> Calls:
    """The container; before it, where its items go first, their list and each of them.

    Before each further page the newest item is read, and at the end the empty list.
    """
    if not (items_first and CATALOGUE[kind].items_first):
        return Calls(deletes=1)
    return Calls(deletes=items + 1, reads=2 * pages(items) if items else 1)


def mark_calls(kind: Kind) -> Calls:
    """The metadata that is there, and the same with the mark; none where the kind has none."""
    return Calls(reads=1, writes=1) if CATALOGUE[kind].has_metadata else Calls()


def pages(items: float) -> int:
    """The pages of a list; an empty one has one, too."""
    return max(1, -(-int(items) // PAGE))
