"""Policies held against what is registered: whom they govern, and what looks like a mistake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from janitor.model import Thread
from janitor.policy import Policies
from janitor.policy.matching import views_of
from janitor.policy.rulebook import protects, rulebook
from janitor.registry import Registry
from janitor.sweep.approval import approved_beside
from janitor.sweep.judge import Judge
from janitor.sweep.redecide import living_entries
from janitor.sweep.review import as_known
from janitor.sweep.silence import Silence


@dataclass(frozen=True, slots=True)
class Survey:
    """Living threads by the policies that speak of them; one thread may count for several.

    `overlaps` counts, for (a policy that does not delete, one that does), the threads of both.
    `silent_rules` match no thread at all. `unapproved` counts by policy the threads that would be
    removed earlier than under the policies approved last, `None` where these are approved.
    """

    threads: Mapping[str, int]
    unmatched: int
    overlaps: Mapping[tuple[str, str], int]
    silent_rules: tuple[str, ...]
    unapproved: Mapping[str, int] | None = None


def survey(registry: Registry, policies: Policies, now: datetime) -> Survey:
    """Look at every living row once; memory stays flat, nothing is changed.

    Raises:
        LimitError: The policies approved last cannot be read.
    """
    approved, tightened = approved_beside(registry, policies), Counter[str]()
    judge = Judge(registry, policies, approved, registry.holds(now))
    threads: Counter[str] = Counter()
    overlaps: Counter[tuple[str, str]] = Counter()
    silence, unmatched = Silence(policies, registry.holds(now), now), 0
    for entry in living_entries(registry):
        silence.see(entry.thread)
        speaking, pairs = _speaking(entry.thread, policies)
        unmatched += not speaking
        threads.update(speaking)
        overlaps.update(pairs)
        if (policy := judge.tightened_by(as_known(entry), now)) is not None:
            tightened[policy] += 1
    waiting = None if approved is None else tightened
    return Survey(threads, unmatched, overlaps, silence.told(registry, None), waiting)


def _speaking(thread: Thread, policies: Policies) -> tuple[list[str], list[tuple[str, str]]]:
    matched = rulebook(policies).matched(thread.key, views_of(thread)).speaking
    idle = [rule.name for rule in matched if rule.delete is None and not protects(rule)]
    deleting = [rule.name for rule in matched if rule.delete is not None and rule.delete.after]
    pairs = [(one, other) for one in idle for other in deleting]
    return [rule.name for rule in matched], pairs
