"""When policies, holds or trust change, every living row is decided anew, by pages, resumably."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

import orjson

from janitor.model import Key
from janitor.policy import policies_digest
from janitor.registry import Entry, Registry
from janitor.sweep.approval import approve_first, conclude, under_approval
from janitor.sweep.judge import Judge
from janitor.sweep.parts import Parts
from janitor.sweep.review import Review, Reviewer, as_known
from janitor.sweep.silence import Silence

PAGE = 1000
RULES = "2"
"""Another one has every row decided anew, and what matches nothing found out anew."""


def rules_digest(parts: Parts) -> str:
    """What decides beside the rows: policies, holds, and whose reported times are trusted.

    Policies that wait for approval decide together with those approved last.
    """
    distrusted = sorted(n for n, p in parts.projects.items() if not p.trust_reported)
    held = [
        [hold.name, sorted(hold.ids), sorted(hold.metadata.items()), hold.until, hold.released_at]
        for hold in parts.registry.holds(parts.clock())
    ]
    digest = hashlib.sha256(orjson.dumps(held)).hexdigest() if held else ""
    approved = policies_digest(parts.approved) if parts.approved is not None else ""
    return ":".join([RULES, policies_digest(parts.policies), approved, digest, *distrusted])


def is_outdated(parts: Parts) -> bool:
    """Whether the rows were last decided under other rules."""
    return parts.registry.policies_digest() != rules_digest(parts)


def living_entries(registry: Registry, after: Key | None = None) -> Iterator[Entry]:
    """Every living row, in pages by key; memory stays flat."""
    while page := registry.reviewable(after, PAGE):
        yield from page
        after = page[-1].thread.key


def redecide(parts: Parts, now: datetime) -> Parts:
    """Decide all living rows from the registry's facts where the rules changed.

    A pass that was cut short goes on where it stopped, as long as the rules are still the same.
    Returns the parts to go on with: under the configured policies alone once they are approved,
    which they are by themselves where they tighten nothing.

    Raises:
        LimitError: The policies approved last cannot be read.
    """
    parts, last = under_approval(parts), parts.registry.approval()
    approve_first(parts, now)
    if is_outdated(parts):
        parts = conclude(parts, last, _tightened(parts, now), now)
        _decide_all(parts, now)
    return parts


def foresee(parts: Parts, now: datetime) -> tuple[Parts, Mapping[str, int]]:
    """The same without writing: the parts, and how many threads wait for approval, by policy.

    Raises:
        LimitError: The policies approved last cannot be read.
    """
    parts = under_approval(parts)
    if is_outdated(parts):
        threads = _tightened(parts, now)
        return (parts if threads else replace(parts, approved=None)), threads
    waiting = parts.registry.unapproved()
    return parts, waiting.threads if waiting is not None else {}


def _tightened(parts: Parts, now: datetime) -> Mapping[str, int]:
    """How many threads the configured policies remove earlier than the approved ones, by policy."""
    threads: Counter[str] = Counter()
    if parts.approved is None:
        return threads
    judge = Judge(parts.registry, parts.policies, parts.approved, parts.registry.holds(now))
    for entry in living_entries(parts.registry):
        if (policy := judge.tightened_by(as_known(entry), now)) is not None:
            threads[policy] += 1
    return threads


def _decide_all(parts: Parts, now: datetime) -> None:
    registry, digest, holds = parts.registry, rules_digest(parts), parts.registry.holds(now)
    reviewer, silence = Reviewer(parts, holds), Silence(parts.policies, holds, now)
    after = registry.redecide_cursor(digest)
    if after is None:
        registry.set_policies_digest("")  # until the pass ends, rows are of two minds
    while page := registry.reviewable(after, PAGE):
        after = page[-1].thread.key
        reviews = [reviewer.on_facts(entry, now) for entry in page]
        for entry in page:
            silence.see(entry.thread)
        registry.reschedule([rescheduled(review, now) for review in reviews])
        silence.record(registry, digest)
        registry.set_redecide_cursor(digest, after)
    registry.set_policies_digest(digest)


def rescheduled(
    review: Review, now: datetime
) -> tuple[Key, datetime | None, str | None, datetime | None]:
    """The key, when to look again, and under which policy the next stage falls due, and when.

    What is up for review stays so, and so does what was never seen.
    """
    decision, at = review.decision, review.entry.review_at
    again = now if decision.stages else decision.review_at
    review_at = at if at is not None and at <= now else again
    if review.sightings.baseline_at is None:
        review_at = min((one for one in (at, review_at) if one is not None), default=None)
    return review.thread.key, review_at, decision.policy, decision.due_at
