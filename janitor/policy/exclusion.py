"""The `except` that leaves one policy's threads to another, if it certainly does no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from janitor.policy.conflicts import ages_of, undo_window
from janitor.policy.matching import asks_reserved, common, protects
from janitor.policy.overlap import clash, covers, exact_values, never_together, tests_by_key
from janitor.policy.rules import Policies, Policy, Selector, Test
from janitor.policy.schedule import UNDO_WINDOW


class Risk(Enum):
    """What an `except` might do besides leaving threads to the other policy.

    `PROTECTION`: end a protection. `COPY`: leave threads without a copy. `EXCEPT`: release threads
    that the other policy excludes. `DEFAULT`: let a default apply. `SOONER`: let others remove a
    thread sooner if its metadata differs between the application and the server. `UNKNOWN`: it
    cannot be written as one list of selectors.
    """

    PROTECTION = 1
    COPY = 2
    EXCEPT = 3
    DEFAULT = 4
    SOONER = 5
    UNKNOWN = 6


def left_to(other: Policy, one: Policy, policies: Policies) -> Policy | Risk:
    """`one` with an `except` for the threads of `other`, or what else that might do.

    A thread to which `other` does not apply is then removed no sooner, and loses no protection. If
    both sides have the same metadata, its decision is the same as before.
    """
    has_default = any(rule.default for rule in policies.rules)
    asks_metadata = any(part.metadata for part in other.selectors)
    if protects(one):
        return Risk.PROTECTION
    if one.archive is not None and other.archive is None:
        return Risk.COPY
    if not _excludes_the_same(one, other):
        return Risk.EXCEPT
    if has_default and other.beside_default and not one.beside_default:
        return Risk.DEFAULT
    if asks_metadata and _others_may_be_sooner(one, other, policies):
        return Risk.SOONER
    return _excluding(one, other)


def _excludes_the_same(one: Policy, other: Policy) -> bool:
    """Whether no thread of `one` is excluded from `other` alone."""
    if other.excepts is None or (one.excepts is not None and covers(one.excepts, other.excepts)):
        return True
    return never_together(one.match, other.match, other.excepts)


def _others_may_be_sooner(one: Policy, other: Policy, policies: Policies) -> bool:
    """Whether a thread that is no longer `one`'s, but not `other`'s either, may go sooner.

    An `except` excludes a thread by either side's metadata; a policy applies by both together.
    """
    waits = one.archive is not None or one.trim is not None
    if policies.expire or (policies.lifetime.max is not None and waits):
        return True
    return any(
        rule.removes
        and not never_together(one.match, rule.match)
        and not _is_later(rule, one, policies)
        for rule in policies.rules
        if rule.name not in {one.name, other.name}
    )


def _is_later(rule: Policy, one: Policy, policies: Policies) -> bool:
    """Whether `rule` removes nothing, and leaves nothing without a copy, that `one` would delay."""
    ages, others = ages_of(one), [age for age in ages_of(rule) if age is not None]
    known = [age for age in ages if age is not None]
    if len(known) < len(ages) or not others:
        return False
    # The time to undo a soft delete of `one` may end after its own dates.
    undo = UNDO_WINDOW if one.soft_delete is not None else UNDO_WINDOW * 0
    return (
        max(known) + undo <= min(others)
        and undo_window(one) <= undo_window(rule)
        and one.age_from is rule.age_from
        and (one.archive is None or rule.archive is not None)
        and (rule.trim is None or (one.trim is None and rule.trim.after is not None))
        and policies.mode_of(one.name) is policies.mode_of(rule.name)
    )


def _excluding(one: Policy, other: Policy) -> Policy | Risk:
    more = _one_by_one(other.match)
    if not more or Selector() in more:
        return Risk.UNKNOWN
    if one.excepts is None:
        return replace(one, excepts=_any(more))
    given = _one_by_one(one.excepts)
    return Risk.UNKNOWN if given is None else replace(one, excepts=_any([*given, *more]))


def _any(selectors: Sequence[Selector]) -> Selector:
    return selectors[0] if len(selectors) == 1 else Selector(any_of=tuple(selectors))


def _one_by_one(selector: Selector) -> list[Selector] | None:
    """Selectors without `any_of`, any of which may match; `None` if one cannot be written so."""
    possible = [
        way
        for way in selector.alternatives
        if clash(way) is None and not asks_reserved(key for one in way for key in one.metadata)
    ]
    found = [_joined(way) for way in possible]
    joined = [one for one in found if one is not None]
    return joined if len(joined) == len(found) else None


def _joined(way: Sequence[Selector]) -> Selector | None:
    """One selector for several that must all hold."""
    tests = {key: _both(key, asked) for key, asked in tests_by_key(way).items()}
    metadata = {key: test for key, test in tests.items() if test is not None}
    if len(metadata) < len(tests):
        return None
    kinds, projects = common([one.kinds for one in way]), common([one.projects for one in way])
    return Selector(kinds, projects, metadata)


def _both(key: str, tests: Sequence[Test]) -> Test | None:
    """One test in place of all tests of a key; `None` if there is none."""
    named = exact_values(key, tests)
    if named is not None:
        return Test(any_of=named)
    # A pattern requires the key as well.
    needed = [test for test in tests if test.glob is not None] or tests
    return needed[0] if all(test == needed[0] for test in needed) else None
