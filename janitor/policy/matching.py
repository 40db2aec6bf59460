"""Whether a rule means a thread: no, yes, or unknown until its metadata was read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple

from janitor.catalogue import CATALOGUE
from janitor.model import Hold, Key, Kind, Metadata, Thread
from janitor.policy.rules import Selector, Test

RESERVED = "janitor_"
NOTHING: Metadata = {}

Clause = Callable[[Metadata], bool]


class Match(IntEnum):
    """Three-valued: unknown is neither yes nor no."""

    NO = 0
    UNKNOWN = 1
    YES = 2


class Views(NamedTuple):
    """A thread's metadata as rules look at it.

    `union` is both sides together, upstream winning; `each` is every view that a protecting rule
    may match: the application's side, the server's and the union, as far as they differ.
    """

    union: Metadata
    each: tuple[Metadata, ...]


def views_of(thread: Thread) -> Views | None:
    """The views of a thread's metadata, or `None` until one side was read.

    A kind without metadata upstream is known to be empty there.
    """
    reported, upstream = thread.reported, thread.upstream
    if upstream is None:
        if reported is None and CATALOGUE[thread.key.kind].has_metadata:
            return None
        upstream = NOTHING
    if not reported or reported == upstream:
        return Views(upstream, (upstream,))
    if not upstream:
        return Views(reported, (reported,))
    union = {**reported, **upstream}
    return Views(union, (union, reported, upstream))


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")))


def clause(key: str, test: Test) -> Clause:
    """One metadata clause as a function of a view."""
    if test.any_of is not None:
        any_of = test.any_of
        return lambda view: view.get(key) in any_of
    if test.glob is not None:
        fits = _glob(test.glob).match
        return lambda view: key in view and fits(view[key]) is not None
    exists = bool(test.exists)
    return lambda view: (key in view) is exists


@dataclass(frozen=True, slots=True)
class Matcher:
    """A selector made ready for many threads."""

    kinds: frozenset[Kind] | None
    projects: frozenset[str] | None
    clauses: tuple[Clause, ...]
    possible: bool

    @classmethod
    def of(cls, selector: Selector) -> Matcher:
        """Prepare a selector; one that names a key of the janitor's own matches nothing."""
        return cls(
            selector.kinds,
            selector.projects,
            tuple(clause(key, test) for key, test in selector.metadata.items()),
            not any(key.startswith(RESERVED) for key in selector.metadata),
        )

    def covers(self, key: Key) -> bool:
        """Whether kind and project let a thread of this key match at all."""
        return (
            self.possible
            and (self.kinds is None or key.kind in self.kinds)
            and (self.projects is None or key.project in self.projects)
        )

    def match(self, key: Key, views: Views | None, *, protecting: bool) -> Match:
        """Match a thread; a protecting rule needs any one view to match, another the union."""
        if not self.covers(key):
            return Match.NO
        if not self.clauses:
            return Match.YES
        if views is None:
            return Match.UNKNOWN
        seen = views.each if protecting else views[:1]
        return Match.YES if any(self._holds(view) for view in seen) else Match.NO

    def _holds(self, view: Metadata) -> bool:
        return all(holds(view) for holds in self.clauses)


def match_hold(hold: Hold, thread: Thread, views: Views | None) -> Match:
    """Whether a hold names a thread, by its id or by metadata on either side."""
    if thread.key.id in hold.ids:
        return Match.YES
    if not hold.metadata or any(key.startswith(RESERVED) for key in hold.metadata):
        return Match.NO
    if views is None:
        return Match.UNKNOWN
    pairs = hold.metadata.items()
    return Match.YES if any(pairs <= view.items() for view in views.each) else Match.NO
