"""Which policies and holds match a thread, fast enough for a thousand policies.

A match is yes, no, or unknown until the thread's metadata has been read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple, TypeVar

from janitor.kinds import CATALOGUE
from janitor.model import Hold, Key, Kind, Metadata, Mode, Thread
from janitor.policy.rules import Policies, Policy, Selector, Test

RESERVED = "janitor_"
"""Prefix of metadata keys with a meaning for janitor; no selector or hold that tests one matches.

The digest of archive copies leaves these keys out: another prefix would change every digest.
"""
NOTHING: Metadata = {}

Clause = Callable[[Metadata], bool]
T = TypeVar("T")


class Match(IntEnum):
    """Three-valued: unknown is neither yes nor no."""

    NO = 0
    UNKNOWN = 1
    YES = 2


class Views(NamedTuple):
    """A thread's metadata as rules see it.

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
    """One metadata test, compiled to a function of a view."""
    if test.any_of is not None:
        any_of = test.any_of
        return lambda view: view.get(key) in any_of
    if test.glob is not None:
        fits = _glob(test.glob).match
        return lambda view: key in view and fits(view[key]) is not None
    exists = bool(test.exists)
    return lambda view: (key in view) is exists


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to match a selector, compiled."""

    kinds: frozenset[Kind] | None
    projects: frozenset[str] | None
    clauses: tuple[Clause, ...]
    possible: bool

    @classmethod
    def of(cls, selectors: Sequence[Selector]) -> Alternative:
        """Compile selectors that must all hold; one that tests a key of janitor's never does."""
        return cls(
            common([one.kinds for one in selectors]),
            common([one.projects for one in selectors]),
            tuple(clause(*pair) for one in selectors for pair in one.metadata.items()),
            not any(asks_reserved(one.metadata) for one in selectors),
        )

    def covers(self, key: Key) -> bool:
        """Whether a thread with this key can match at all, by kind and project."""
        return (
            self.possible
            and (self.kinds is None or key.kind in self.kinds)
            and (self.projects is None or key.project in self.projects)
        )

    def match(self, key: Key, views: Views | None, *, protecting: bool) -> Match:
        """Match a thread; a protecting rule matches if any view does, others only by the union."""
        if not self.covers(key):
            return Match.NO
        if not self.clauses:
            return Match.YES
        if views is None:
            return Match.UNKNOWN
        seen = views.each if protecting else views[:1]
        is_met = any(all(holds(view) for holds in self.clauses) for view in seen)
        return Match.YES if is_met else Match.NO


def common(sets: Iterable[frozenset[T] | None]) -> frozenset[T] | None:
    """What all sets have in common; `None` stands for everything."""
    given = [one for one in sets if one is not None]
    return frozenset.intersection(*given) if given else None


@dataclass(frozen=True, slots=True)
class Matcher:
    """A compiled selector: it matches as well as the best of its alternatives does."""

    alternatives: tuple[Alternative, ...]

    @classmethod
    def of(cls, selector: Selector) -> Matcher:
        """Compile a selector."""
        return cls(tuple(Alternative.of(one) for one in selector.alternatives))

    def match(self, key: Key, views: Views | None, *, protecting: bool) -> Match:
        """Match a thread: yes if any alternative matches, no if none does, else unknown."""
        found = Match.NO
        for one in self.alternatives:
            found = max(found, one.match(key, views, protecting=protecting))
        return found


def asks_reserved(keys: Iterable[str]) -> bool:
    """Whether any of the keys is janitor's own."""
    return any(key.startswith(RESERVED) for key in keys)


def match_hold(hold: Hold, thread: Thread, views: Views | None) -> Match:
    """Whether a hold names a thread, by its id or by metadata on either side."""
    if thread.key.id in hold.ids:
        return Match.YES
    if not hold.metadata or asks_reserved(hold.metadata):
        return Match.NO
    if views is None:
        return Match.UNKNOWN
    pairs = hold.metadata.items()
    return Match.YES if any(pairs <= view.items() for view in views.each) else Match.NO


class MatchOutcome(IntEnum):
    """How far a policy applies to a thread.

    `PROTECTS`: only its protections, because only one side's metadata matches. `SPEAKS`: all of it.
    """

    NO = 0
    EXCLUDED = 1
    UNKNOWN = 2
    PROTECTS = 3
    SPEAKS = 4


COUNTED = {
    MatchOutcome.NO: Match.NO,
    MatchOutcome.EXCLUDED: Match.NO,
    MatchOutcome.UNKNOWN: Match.UNKNOWN,
    MatchOutcome.PROTECTS: Match.YES,
    MatchOutcome.SPEAKS: Match.YES,
}
"""Whether a policy with this outcome counts as having matched a thread."""


def protects(policy: Policy) -> bool:
    """Whether a policy forbids anything: `keep: forever`, `delete: never` or `keep_last`."""
    return policy.keep_forever or policy.forbids_deletion or policy.keep_last is not None


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A compiled policy.

    `parts` names each part that may match nothing on its own: `policy:NAME` and `except:NAME`; if a
    selector has several alternatives, each of them: `match[0]:NAME`, `except[0]:NAME`.
    """

    policy: Policy
    match: Matcher
    excepts: Matcher | None
    protects: bool
    parts: tuple[str, ...]

    @classmethod
    def of(cls, policy: Policy) -> Rule:
        """Compile one policy."""
        match = Matcher.of(policy.match)
        excepts = None if policy.excepts is None else Matcher.of(policy.excepts)
        ways = _numbered("match", policy.name, match) if len(match.alternatives) > 1 else ()
        excepted = () if excepts is None else _numbered("except", policy.name, excepts)
        parts = (f"policy:{policy.name}", *ways, *excepted)
        return cls(policy, match, excepts, protects(policy), parts)

    def outcome(self, key: Key, views: Views | None) -> MatchOutcome:
        """How far this policy applies to a thread.

        An `except` cancels a policy's stages if any view matches it, but its protections only if
        the union does.
        """
        found = self.match.match(key, views, protecting=False)
        either = self.match.match(key, views, protecting=True) if self.protects else found
        if either is Match.NO:
            return MatchOutcome.NO
        near, sure = self._excepted(key, views)
        if sure is Match.YES or (near is Match.YES and not self.protects):
            return MatchOutcome.EXCLUDED
        if Match.UNKNOWN in (either, near):
            return MatchOutcome.UNKNOWN
        spoken = found is Match.YES and near is Match.NO
        return MatchOutcome.SPEAKS if spoken else MatchOutcome.PROTECTS

    def part_matches(self, key: Key, views: Views | None) -> tuple[Match, ...]:
        """How each of `parts` matches; an `except` only where the policy would match without it."""
        whole = COUNTED[self.outcome(key, views)]
        ways = self.match.alternatives if len(self.match.alternatives) > 1 else ()
        meant = self.match.match(key, views, protecting=True)
        excepted = () if self.excepts is None else self.excepts.alternatives
        return (
            whole,
            *(min(whole, one.match(key, views, protecting=self.protects)) for one in ways),
            *(min(meant, one.match(key, views, protecting=True)) for one in excepted),
        )

    def _excepted(self, key: Key, views: Views | None) -> tuple[Match, Match]:
        if self.excepts is None:
            return Match.NO, Match.NO
        near = self.excepts.match(key, views, protecting=True)
        return near, self.excepts.match(key, views, protecting=False)


def _numbered(key: str, name: str, matcher: Matcher) -> tuple[str, ...]:
    count = len(matcher.alternatives)
    return tuple(f"{key}[{i}]:{name}" if count > 1 else f"{key}:{name}" for i in range(count))


@dataclass(frozen=True, slots=True)
class Matched:
    """The policies that concern one thread, each list sorted by name.

    `speaking` apply with their stages. `protecting` apply with their protections (this includes
    the protecting ones of `speaking`). `unknown` may apply once the metadata is read. `excluded`
    would apply without their `except`.
    """

    speaking: tuple[Policy, ...] = ()
    protecting: tuple[Policy, ...] = ()
    unknown: tuple[Policy, ...] = ()
    excluded: tuple[Policy, ...] = ()

    @property
    def concerned(self) -> bool:
        """Whether any policy certainly applies."""
        return bool(self.speaking or self.protecting)


NONE = Matched()


def _sort(key: Key, views: Views | None, rules: Collection[Rule]) -> Matched:
    if not rules:
        return NONE
    by: dict[MatchOutcome, list[Policy]] = {}
    for rule in rules:
        by.setdefault(rule.outcome(key, views), []).append(rule.policy)
    speaking = by.get(MatchOutcome.SPEAKS, [])
    protecting = by.get(MatchOutcome.PROTECTS, []) + [one for one in speaking if protects(one)]
    return Matched(
        _by_name(speaking),
        _by_name(protecting),
        _by_name(by.get(MatchOutcome.UNKNOWN, [])),
        _by_name(by.get(MatchOutcome.EXCLUDED, [])),
    )


def _merged(others: Matched, defaults: Matched) -> Matched:
    """The default policies together with others that leave them in force."""
    return Matched(
        _by_name([*others.speaking, *defaults.speaking]),
        _by_name([*others.protecting, *defaults.protecting]),
        _by_name([*others.unknown, *defaults.unknown]),
        (*others.excluded, *defaults.excluded),
    )


def _by_name(policies: list[Policy]) -> tuple[Policy, ...]:
    return tuple(sorted(policies, key=lambda policy: policy.name))


def _anchor(selector: Selector) -> list[tuple[str, str | None]]:
    """Metadata pairs, or keys (value `None`), of which a thread needs one for a match."""
    tests = [(key, test) for key, test in selector.metadata.items() if test.exists is not False]
    exact = [(key, test.any_of) for key, test in tests if test.any_of is not None]
    if exact:
        key, values = min(exact, key=lambda pair: (len(pair[1]), pair[0]))
        return [(key, value) for value in values]
    if tests:
        return [(key, None) for key, _ in tests[:1]]
    parts = [_anchor(one) for one in selector.any_of]
    # An alternative that needs no metadata leaves the selector without an anchor.
    return [pair for part in parts for pair in part] if all(parts) else []


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All policies, indexed by a metadata pair or key that each of them needs.

    So the cost of a thread depends on the policies that may match it, not on all in the file.
    """

    general: tuple[Rule, ...]
    anchored: dict[tuple[str, str | None], list[Rule]]
    others: tuple[Rule, ...]
    defaults: tuple[Rule, ...]
    modes: dict[str, Mode]
    mode: Mode
    unread: dict[tuple[str, Kind], Matched] = field(default_factory=dict)

    @classmethod
    def of(cls, policies: Policies) -> Rulebook:
        """Compile all policies of a file."""
        rules = [Rule.of(policy) for policy in policies.rules]
        others = tuple(rule for rule in rules if not rule.policy.default)
        anchored: dict[tuple[str, str | None], list[Rule]] = {}
        for rule in others:
            for pair in _anchor(rule.policy.match):
                anchored.setdefault(pair, []).append(rule)
        return cls(
            general=tuple(rule for rule in others if not _anchor(rule.policy.match)),
            anchored=anchored,
            others=others,
            defaults=tuple(rule for rule in rules if rule.policy.default),
            modes={rule.policy.name: policies.mode_of(rule.policy.name) for rule in rules},
            mode=policies.mode,
        )

    def near(self, views: Views | None) -> Collection[Rule]:
        """The rules, without defaults, that may match a thread; some of them may not."""
        if views is None:
            return self.others
        near: list[Rule] = []
        for view in views.each:
            for key, value in view.items():
                near += self.anchored.get((key, value), ())
                near += self.anchored.get((key, None), ())
        # Two sides may lead to one rule twice; a dict keeps each once.
        return dict.fromkeys((*self.general, *near)) if near else self.general

    def matched(self, key: Key, views: Views | None) -> Matched:
        """The policies that concern a thread; defaults only if no other policy applies.

        If another policy may apply, defaults do not, until that is known. Policies with
        `beside_default` do not count.
        """
        if views is not None:
            return self._matched(key, views)
        place = (key.project, key.kind)
        if place not in self.unread:
            self.unread[place] = self._matched(key, None)
        return self.unread[place]

    def _matched(self, key: Key, views: Views | None) -> Matched:
        others = _sort(key, views, self.near(views))
        nearby = (*others.speaking, *others.protecting, *others.unknown)
        if not all(policy.beside_default for policy in nearby):
            return others
        found = _sort(key, views, self.defaults)
        return _merged(others, found) if nearby or others.excluded else found

    def mode_of(self, name: str) -> Mode:
        """The mode of a policy; anything else has the file's mode."""
        return self.modes.get(name, self.mode)


_RECENT: dict[int, tuple[Policies, Rulebook]] = {}
_RECENT_AT_MOST = 64


def rulebook(policies: Policies) -> Rulebook:
    """The rulebook of these policies, compiled once for each value."""
    found = _RECENT.get(id(policies))
    if found is None:
        if len(_RECENT) >= _RECENT_AT_MOST:
            _RECENT.clear()
        # The value is kept beside its rulebook, so that no other value can get its id.
        found = _RECENT[id(policies)] = (policies, Rulebook.of(policies))
    return found[1]


class RuleCoverage:
    """Tracks which policies, `except`s and holds matched none of the threads shown to it.

    A typo in a protecting rule is how data is lost, and this is how it is noticed.

    A default policy counts by its own `match`, whatever other policies apply. A rule that only
    unread metadata might match has matched nothing yet, but is not a typo either (`doubtful`). Each
    alternative of a `match` or an `except` counts as a rule of its own.
    """

    def __init__(self, policies: Policies, holds: Sequence[Hold]) -> None:
        self._rulebook = rulebook(policies)
        self._holds = {f"hold:{hold.name}": hold for hold in holds}
        rules = (*self._rulebook.others, *self._rulebook.defaults)
        self._silent = {*(part for rule in rules for part in rule.parts), *self._holds}

    def see(self, thread: Thread) -> None:
        """Take one thread into account."""
        if self._silent:
            self._silent -= self._found(thread, Match.YES, self._silent)

    @property
    def silent(self) -> tuple[str, ...]:
        """The rules without a match so far, as `hold:NAME` and by the names of `Rule.parts`."""
        return tuple(sorted(self._silent))

    def doubtful(self, thread: Thread) -> frozenset[str]:
        """The rules that may match a thread with unread metadata, by the same names."""
        return frozenset(self._found(thread, Match.UNKNOWN, self._holds))

    def _found(self, thread: Thread, wanted: Match, names: Collection[str]) -> set[str]:
        views, found = views_of(thread), set[str]()
        for rule in (*self._rulebook.near(views), *self._rulebook.defaults):
            matches = rule.part_matches(thread.key, views)
            found |= {name for name, one in zip(rule.parts, matches, strict=True) if one is wanted}
        held = [(name, self._holds[name]) for name in self._holds.keys() & names]
        return found | {n for n, hold in held if match_hold(hold, thread, views) is wanted}
