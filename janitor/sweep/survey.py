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
from janitor.sweep.redecide import living_entries
from janitor.sweep.silence import Silence


@dataclass(frozen=True, slots=True)
class Survey:
    """Living threads by the policies that speak of them; one thread may count for several.

    `overlaps` counts, for (a policy that does not delete, one that does), the threads of both.
    `silent_rules` match no thread at all.
    """

    threads: Mapping[str, int]
    unmatched: int
    overlaps: Mapping[tuple[str, str], int]
    silent_rules: tuple[str, ...]


def survey(registry: Registry, policies: Policies, now: datetime) -> Survey:
    """Look at every living row once; memory stays flat, nothing is changed."""
    threads: Counter[str] = Counter()
    overlaps: Counter[tuple[str, str]] = Counter()
    silence, unmatched = Silence(policies, registry.holds(now), now), 0
    for entry in living_entries(registry):
        silence.see(entry)
        speaking, pairs = _speaking(entry.thread, policies)
        unmatched += not speaking
        threads.update(speaking)
        overlaps.update(pairs)
    return Survey(threads, unmatched, overlaps, silence.since(None))


def _speaking(thread: Thread, policies: Policies) -> tuple[list[str], list[tuple[str, str]]]:
    matched = rulebook(policies).matched(thread.key, views_of(thread)).speaking
    idle = [rule.name for rule in matched if rule.delete is None and not protects(rule)]
    deleting = [rule.name for rule in matched if rule.delete is not None and rule.delete.after]
    pairs = [(one, other) for one in idle for other in deleting]
    return [rule.name for rule in matched], pairs
