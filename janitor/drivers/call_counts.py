"""How many calls each method of a driver makes. Pure; a test checks it against the drivers."""

from __future__ import annotations

from typing import NamedTuple

from janitor.drivers.catalogue import driver_class
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
        """The calls multiplied by a number."""
        return Calls(*(number * one for one in self))


def probe_calls(kind: Kind) -> Calls:
    """Reads the container, its newest item, and the parts that tell whether it is in use."""
    return Calls(reads=2 if driver_class(kind).probed_part is None else 3)


def export_calls(kind: Kind, items: float) -> Calls:
    """Reads the container, its items page by page, and one page of each part that can be listed."""
    driver = driver_class(kind)
    parts = sum(part not in driver.streamed_parts for part in driver.parts)
    return Calls(reads=1 + pages(items) + parts)


def delete_calls(kind: Kind, items: float, *, items_first: bool, are_listed: bool = False) -> Calls:
    """Deletes the container; if its items go first, it lists and deletes those before.

    It also reads the newest item before each further page, and the empty list at the end. What
    fits on a page is not listed again if `are_listed`.
    """
    if not (items_first and CATALOGUE[kind].items_first):
        return Calls(deletes=1)
    if are_listed and items <= PAGE:
        return Calls(deletes=items + 1, reads=1 if items else 0)
    return Calls(deletes=items + 1, reads=2 * pages(items) if items else 1)


def tail_calls(kind: Kind) -> Calls:
    """Reads the newest item, and the newest of the parts that tell whether it is in use."""
    return Calls(reads=1 if driver_class(kind).probed_part is None else 2)


def mark_calls(kind: Kind) -> Calls:
    """Reads the metadata and writes it with the mark; no calls if the kind has no metadata."""
    return Calls(reads=1, writes=1) if CATALOGUE[kind].has_metadata else Calls()


def pages(items: float) -> int:
    """The pages of a list; an empty list has one page, too."""
    return max(1, -(-int(items) // PAGE))
