"""Policies made ready for many threads: which of a thousand speak of this one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum

from janitor.model import Key, Kind, Metadata, Mode
from janitor.policy.matching import Match, Matcher, Views
from janitor.policy.rules import Policies, Policy


class Standing(IntEnum):
    """How a policy stands to a thread.

    `PROTECTS`: only what it protects applies, since one side alone matches; `SPEAKS`: all of it.
    """

    NO = 0
    EXCLUDED = 1
    UNKNOWN = 2
    PROTECTS = 3
    SPEAKS = 4


def protects(policy: Policy) -> bool:
    """Whether a policy forbids anything: `keep: forever`, `delete: never` or `keep_last`."""
    never = policy.delete is not None and policy.delete.after is None
    return policy.keep_forever or never or policy.keep_last is not None


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A policy made ready."""

    policy: Policy
    match: Matcher
    excepts: Matcher | None
    protects: bool

    @classmethod
    def of(cls, policy: Policy) -> Rule:
        """Prepare one policy."""
        excepts = None if policy.excepts is None else Matcher.of(policy.excepts)
        return cls(policy, Matcher.of(policy.match), excepts, protects(policy))

    def standing(self, key: Key, views: Views | None) -> Standing:
        """How this policy stands to a thread.

        An `except` keeps a policy's stages away where any one view matches, but takes away what
        the policy protects only where the union does.
        """
        found = self.match.match(key, views, protecting=False)
        either = self.match.match(key, views, protecting=True) if self.protects else found
        if either is Match.NO:
            return Standing.NO
        near, sure = self._excepted(key, views)
        if sure is Match.YES or (near is Match.YES and not self.protects):
            return Standing.EXCLUDED
        if Match.UNKNOWN in (either, near):
            return Standing.UNKNOWN
        spoken = found is Match.YES and near is Match.NO
        return Standing.SPEAKS if spoken else Standing.PROTECTS

    def exception(self, key: Key, views: Views | None) -> Match:
        """Whether the thread would match, but for the `except`."""
        meant = self.match.match(key, views, protecting=True)
        return min(meant, self._excepted(key, views)[0])

    def _excepted(self, key: Key, views: Views | None) -> tuple[Match, Match]:
        if self.excepts is None:
            return Match.NO, Match.NO
        near = self.excepts.match(key, views, protecting=True)
        return near, self.excepts.match(key, views, protecting=False)


@dataclass(frozen=True, slots=True)
class Matched:
    """The policies that concern one thread, each sorted by name.

    The stages of `speaking` count; what `protecting` protects applies (it holds the protecting
    ones of `speaking` too); `unknown` may concern it; `excluded` would, but for their `except`.
    """

    speaking: tuple[Policy, ...] = ()
    protecting: tuple[Policy, ...] = ()
    unknown: tuple[Policy, ...] = ()
    excluded: tuple[Policy, ...] = ()

    @property
    def concerned(self) -> bool:
        """Whether any policy certainly matches."""
        return bool(self.speaking or self.protecting)


NONE = Matched()


def _sort(key: Key, views: Views | None, rules: Collection[Rule]) -> Matched:
    if not rules:
        return NONE
    by: dict[Standing, list[Policy]] = {}
    for rule in rules:
        by.setdefault(rule.standing(key, views), []).append(rule.policy)
    speaking = by.get(Standing.SPEAKS, [])
    protecting = by.get(Standing.PROTECTS, []) + [one for one in speaking if protects(one)]
    return Matched(
        _by_name(speaking),
        _by_name(protecting),
        _by_name(by.get(Standing.UNKNOWN, [])),
        _by_name(by.get(Standing.EXCLUDED, [])),
    )


def _by_name(policies: list[Policy]) -> tuple[Policy, ...]:
    return tuple(sorted(policies, key=lambda policy: policy.name))


def _anchor(policy: Policy) -> list[tuple[str, str | None]]:
    """The pairs, or keys (value `None`), one of which a thread must carry for a policy to match."""
    tests = [(key, test) for key, test in policy.match.metadata.items() if test.exists is not False]
    exact = [(key, test.any_of) for key, test in tests if test.any_of is not None]
    if exact:
        key, values = min(exact, key=lambda pair: (len(pair[1]), pair[0]))
        return [(key, value) for value in values]
    return [(key, None) for key, _ in tests[:1]]


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All policies, indexed by a metadata pair or key that each of them needs.

    So the cost of a thread follows the policies near it, not those in the file.
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
        """Prepare all policies of a file."""
        rules = [Rule.of(policy) for policy in policies.rules]
        others = tuple(rule for rule in rules if not rule.policy.default)
        anchored: dict[tuple[str, str | None], list[Rule]] = {}
        for rule in others:
            for pair in _anchor(rule.policy):
                anchored.setdefault(pair, []).append(rule)
        return cls(
            general=tuple(rule for rule in others if not _anchor(rule.policy)),
            anchored=anchored,
            others=others,
            defaults=tuple(rule for rule in rules if rule.policy.default),
            modes={rule.policy.name: policies.mode_of(rule.policy.name) for rule in rules},
            mode=policies.mode,
        )

    def near(self, views: Views | None) -> Collection[Rule]:
        """The rules, no defaults, that may match a thread with these views; more, never fewer."""
        if views is None:
            return self.others
        found = [rule for view in views.each for rule in self._at(view)]
        # Two sides may lead to one rule twice; a dict keeps each once.
        return dict.fromkeys((*self.general, *found)) if found else self.general

    def _at(self, view: Metadata) -> Iterator[Rule]:
        for key, value in view.items():
            yield from self.anchored.get((key, value), ())
            yield from self.anchored.get((key, None), ())

    def matched(self, key: Key, views: Views | None) -> Matched:
        """The policies that concern a thread; defaults only where no other one matches.

        Where another one only may match, a default is silent until that is known.
        """
        if views is not None:
            return self._matched(key, views)
        place = (key.project, key.kind)
        if place not in self.unread:
            self.unread[place] = self._matched(key, None)
        return self.unread[place]

    def _matched(self, key: Key, views: Views | None) -> Matched:
        others = _sort(key, views, self.near(views))
        if others.concerned or others.unknown:
            return others
        found = _sort(key, views, self.defaults)
        if not others.excluded:
            return found
        return replace(found, excluded=(*others.excluded, *found.excluded))

    def mode_of(self, name: str) -> Mode:
        """The mode in which a policy acts; what is no policy acts in the file's."""
        return self.modes.get(name, self.mode)


_RECENT: dict[int, tuple[Policies, Rulebook]] = {}
_RECENT_AT_MOST = 8


def rulebook(policies: Policies) -> Rulebook:
    """The rulebook of a value of policies, made once as long as the value lives on."""
    found = _RECENT.get(id(policies))
    if found is None:
        if len(_RECENT) >= _RECENT_AT_MOST:
            _RECENT.clear()
        # The value is kept beside its rulebook, so that no other one can take its id.
        found = _RECENT[id(policies)] = (policies, Rulebook.of(policies))
    return found[1]
