"""How much of a policy's population one sweep may remove before a person must look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from math import floor

from janitor.policy.evaluate import CEILING, VANISHED
from janitor.policy.rules import Policies, Policy

EXEMPT_BELOW = 20
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Tripped:
    """A limit that stopped a policy: its key in the file, what is due, and what is allowed."""

    limit: str
    policy: str
    due: int
    allowed: int
    population: int


def allowed_share(policies: Policies, name: str, since_last: timedelta | None) -> Fraction:
    """The share of its live population that a policy may remove in one sweep, from 0 to 1.

    The larger of `max_percent` and twice the part of the policy's shortest removing `after` that
    went by since the last completed sweep (`None`: there was none), so that a regular sweep, or
    a day of downtime, does not trip it.
    """
    policy = _policy(policies, name)
    percent = policies.limits.max_percent
    if policy is not None and policy.max_percent is not None:
        percent = policy.max_percent
    return _share(percent, since_last, _shortest_span(policies, name))


def _share(percent: float, since_last: timedelta | None, shortest: timedelta | None) -> Fraction:
    share = Fraction(str(percent)) / 100
    if since_last is not None and shortest is not None:
        passed = Fraction(since_last // MICROSECOND, shortest // MICROSECOND)
        share = max(share, 2 * passed)
    return min(share, Fraction(1))


def tripped(
    policies: Policies, name: str, *, due: int, population: int, since_last: timedelta | None
) -> Tripped | None:
    """The limit that removing `due` threads would exceed, or `None`.

    `population` counts the policy's live threads; below 20 only `max_threads` counts.
    """
    policy = _policy(policies, name)
    at_most = policies.limits.max_threads
    if policy is not None and policy.max_threads is not None:
        at_most = policy.max_threads
    if at_most is not None and due > at_most:
        return Tripped("max_threads", name, due, at_most, population)
    share = allowed_share(policies, name, since_last)
    return _over(share, name, due=due, population=population)


def tripped_share(
    percent: float,
    name: str,
    *,
    due: int,
    population: int,
    since_last: timedelta | None,
    shortest: timedelta | None,
) -> Tripped | None:
    """Like `tripped`, but for copies: `percent` may be removed at once, more if a sweep is late.

    `shortest` is the shortest time after which any of them falls due.
    """
    share = _share(percent, since_last, shortest)
    return _over(share, name, due=due, population=population)


def _over(share: Fraction, name: str, *, due: int, population: int) -> Tripped | None:
    if population >= EXEMPT_BELOW and due > share * population:
        return Tripped("max_percent", name, due, floor(share * population), population)
    return None


def _policy(policies: Policies, name: str) -> Policy | None:
    return next((policy for policy in policies.rules if policy.name == name), None)


def _shortest_span(policies: Policies, name: str) -> timedelta | None:
    if name == CEILING:
        return policies.lifetime.max
    if name == VANISHED:
        return min(policies.expire.values(), default=None)
    policy = _policy(policies, name)
    return None if policy is None else shortest_removal(policy)


def shortest_removal(policy: Policy) -> timedelta | None:
    """The shortest age at which a policy removes anything, or `None` if it never does."""
    stages = (policy.soft_delete, policy.delete, policy.trim)
    return min((stage.after for stage in stages if stage and stage.after), default=None)
