"""What policies do in combination that none of them says alone, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby, islice
from typing import Any

import yaml

from janitor.config.fields import format_duration
from janitor.errors import Place
from janitor.model import Stage
from janitor.policy.conflicts import (
    MOST_TOLD,
    ComparisonBudget,
    Delay,
    SilentDefault,
    delays,
    delays_of,
    redundant,
    silent_defaults,
)
from janitor.policy.exclusion import Risk, left_to
from janitor.policy.matching import protects
from janitor.policy.overlap import BORN, covers
from janitor.policy.rules import ArchiveAt, Policies, Policy, Selector, Test

Places = Mapping[tuple[str, str], Place]
NOWHERE: Places = {}
DONE = {
    Stage.ARCHIVE: "copied",
    Stage.SOFT_DELETE: "soft-deleted",
    Stage.TRIM: "trimmed",
    Stage.DELETE: "deleted",
}


def place_of(places: Places, policy: Policy, key: str) -> str:
    """Where a policy's key or its name is, to put before a sentence; empty without a file."""
    place = places.get((policy.name, key)) or places.get((policy.name, "name"))
    return f"{place} " if place else ""


def surprises(policies: Policies, places: Places = NOWHERE) -> Iterator[str]:
    """A sentence for each delay, each default that never applies and each redundant policy."""
    rules = {rule.name: rule for rule in policies.rules}
    advice, budget = _Advice(policies), ComparisonBudget(policies)
    found = list(islice(delays(policies, budget), MOST_TOLD))
    for (one, other), together in groupby(found, key=lambda delay: (delay.policy, delay.delayed)):
        yield _delayed(rules[one], rules[other], list(together), places, advice)
    if len(found) >= MOST_TOLD or budget.is_spent:
        yield "there may be more delays than these: correct them, then validate again"
    for silent in silent_defaults(policies):
        yield _silent(rules[silent.policy], silent, places)
    budget = ComparisonBudget(policies)
    vain = redundant(policies, budget)
    for pair in islice(vain, MOST_TOLD):
        yield _redundant(rules[pair.policy], rules[pair.by], places, advice)
    if next(vain, None) is not None or budget.is_spent:
        yield "there may be more policies that change nothing: correct these, then validate again"


class _Advice:
    """Advice on what to write, which can be followed piece by piece or all together.

    `current` is what the policies are once the advice so far is followed.
    """

    def __init__(self, policies: Policies) -> None:
        self.given = self.current = policies
        self.changed: set[str] = set()

    def exclude(self, one: Policy, other: Policy) -> Policy | Risk | None:
        """`one` with an `except` for the threads of `other`; `None` if earlier advice forbids."""
        found = left_to(other, one, self.given)
        if isinstance(found, Risk) or self._delays(found, other, found):
            return found if isinstance(found, Risk) else Risk.UNKNOWN
        now = left_to(self._now(other), self._now(one), self.current)
        if isinstance(now, Risk):
            return None
        self._follow(now)
        return found

    def copy_early(self, one: Policy, other: Policy) -> bool:
        """Whether `at: earliest` in `other` ends the delay of its copy by `one`."""
        if other.archive is None:
            return False
        early = replace(other, archive=replace(other.archive, at=ArchiveAt.EARLIEST))
        if self._delays(one, early, early):
            return False
        self._follow(replace(self._now(other), archive=early.archive))
        return True

    def _delays(self, one: Policy, other: Policy, changed: Policy) -> bool:
        """Whether `one` still delays `other` with a policy changed; true if that is unknown."""
        policies = _with(self.given, changed)
        budget = ComparisonBudget(policies)
        return bool(delays_of(one, other, policies, budget)) or budget.is_spent

    def _now(self, policy: Policy) -> Policy:
        return next(rule for rule in self.current.rules if rule.name == policy.name)

    def _follow(self, changed: Policy) -> None:
        self.current = _with(self.current, changed)
        self.changed.add(changed.name)


def _with(policies: Policies, changed: Policy) -> Policies:
    """The policies with one of them changed."""
    rules = (changed if rule.name == changed.name else rule for rule in policies.rules)
    return replace(policies, rules=tuple(rules))


def _delayed(
    one: Policy, other: Policy, found: list[Delay], places: Places, advice: _Advice
) -> str:
    what = " and ".join(_when(delay) for delay in found)
    is_copy = all(delay.stage is Stage.ARCHIVE for delay in found)
    if is_copy and advice.copy_early(one, other):
        remedy = f"write `at: earliest` in the `archive` of {other.name}"
    else:
        remedy = _exclude(one, other, advice)
    return (
        f"{place_of(places, one, found[-1].stage)}{one.name} delays {other.name}: a thread that "
        f"both match is {what}, because the latest date wins; if {other.name} is to decide, "
        f"{remedy}"
    )


def _when(delay: Delay) -> str:
    early = format_duration(delay.early - BORN)
    if delay.late is None:
        return f"never {DONE[delay.stage]} instead of after {early}"
    return f"{DONE[delay.stage]} after {format_duration(delay.late - BORN)} instead of {early}"


def _silent(default: Policy, silent: SilentDefault, places: Places) -> str:
    by = " and ".join(silent.by)
    match = "matches" if len(silent.by) == 1 else "match"
    return (
        f"{place_of(places, default, 'default')}{default.name} never applies: {by} {match} every "
        "thread of its kinds, and a default applies only where no other policy matches; remove "
        f"it, let {by} match fewer threads, or write `beside_default: true` in {by}"
    )


def _redundant(one: Policy, by: Policy, places: Places, advice: _Advice) -> str:
    why = "does each of its stages as late or later, and the latest date wins"
    if by.keep_forever:
        why = "keeps them forever, and keep wins"
    elif by.forbids_deletion:
        why = "says `delete: never`, and keep wins"
    if advice.changed & {one.name, by.name}:
        remedy = FIRST
    else:
        remedy = f"remove {one.name}"
        if not (protects(by) or covers(one.match, by.match)):
            remedy += f", or, if {one.name} is to decide, {_exclude(by, one, advice)}"
    return (
        f"{place_of(places, one, 'name')}{one.name} changes nothing: {by.name} matches all of its "
        f"threads and {why}; {remedy}"
    )


FIRST = "fix the findings above first, then validate again"


def _exclude(one: Policy, other: Policy, advice: _Advice) -> str:
    """What to write so that a policy leaves the threads of another alone."""
    match advice.exclude(one, other):
        case None:
            return FIRST
        case Risk() as risk:
            return _in_words(risk, one, other)
        case Policy() as changed:
            return _written(one, changed.excepts or Selector())


def _written(one: Policy, excepts: Selector) -> str:
    if one.excepts is None:
        return f"add `except: {_flow(_spelled(excepts))}` to {one.name}"
    selectors = [_spelled(each) for each in excepts.any_of or (excepts,)]
    return f"let the `except` of {one.name} be `{_flow(selectors)}`"


def _in_words(risk: Risk, one: Policy, other: Policy) -> str:
    """What to look at where an `except` might do more than it says."""
    match risk:
        case Risk.PROTECTION:
            return (
                f"move {_dated(one)} of {one.name} into a policy of its own, with an `except` "
                f"there; an `except` in {one.name} would end the protection of these threads"
            )
        case Risk.COPY:
            return (
                f"give {other.name} an `archive` first, then validate again; an `except` in "
                f"{one.name} alone would leave these threads without a copy"
            )
        case Risk.EXCEPT:
            return (
                f"look at the threads that both {one.name} and the `except` of {other.name} "
                f"match: an `except` in {one.name} must not match these, or neither policy applies "
                "to them"
            )
        case Risk.DEFAULT:
            return (
                f"look at the default first: it applies to threads of {other.name}, too, once no "
                f"other policy such as {one.name} does"
            )
        case Risk.SOONER:
            return (
                f"look at what else removes threads of {one.name}: an `except` there would also "
                f"match a thread whose metadata fits {other.name} at the application or at the "
                "server alone, and that thread could go sooner, or without a copy"
            )
        case Risk.UNKNOWN:
            return f"let {one.name} match none of its threads"


def _dated(policy: Policy) -> str:
    """The stages of a policy that have a date."""
    dated = {
        "archive": policy.archive is not None,
        "soft_delete": policy.soft_delete is not None,
        "trim": policy.trim is not None,
        "delete": policy.deletes,
    }
    return " and ".join(f"`{key}`" for key, is_dated in dated.items() if is_dated)


def _spelled(selector: Selector) -> dict[str, Any]:
    """A selector as it is written in a file."""
    spelled: dict[str, Any] = {}
    if selector.kinds is not None:
        spelled["kind"] = _one_or_list(selector.kinds)
    if selector.projects is not None:
        spelled["project"] = _one_or_list(selector.projects)
    if selector.metadata:
        spelled["metadata"] = {key: _test(test) for key, test in selector.metadata.items()}
    if selector.any_of:
        spelled["any"] = [_spelled(one) for one in selector.any_of]
    return spelled


def _one_or_list(names: frozenset[str]) -> str | list[str]:
    listed = sorted(str(name) for name in names)
    return listed[0] if len(listed) == 1 else listed


def _test(test: Test) -> object:
    if test.any_of is not None:
        return _one_or_list(test.any_of)
    return {"glob": test.glob} if test.glob is not None else {"exists": bool(test.exists)}


def _flow(value: object) -> str:
    """YAML on one line."""
    flow = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return flow.removesuffix("\n")
