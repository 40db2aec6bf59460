"""When policies, holds or trust change, every living row is decided anew, by pages, resumably."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime

import orjson

from janitor.model import Key
from janitor.policy import policies_digest
from janitor.registry import Entry, Registry
from janitor.sweep.parts import Parts
from janitor.sweep.review import Review, Reviewer
from janitor.sweep.silence import Silence

PAGE = 1000


def rules_digest(parts: Parts) -> str:
    """What decides beside the rows: policies, holds, and whose reported times are trusted."""
    distrusted = sorted(n for n, p in parts.projects.items() if not p.trust_reported)
    held = [
        [hold.name, sorted(hold.ids), sorted(hold.metadata.items()), hold.until, hold.released_at]
        for hold in parts.registry.holds(parts.clock())
    ]
    digest = hashlib.sha256(orjson.dumps(held)).hexdigest() if held else ""
    return ":".join([policies_digest(parts.policies), digest, *distrusted])


def is_outdated(parts: Parts) -> bool:
    """Whether the rows were last decided under other rules."""
    return parts.registry.policies_digest() != rules_digest(parts)


def living_entries(registry: Registry, after: Key | None = None) -> Iterator[Entry]:
    """Every living row, in pages by key; memory stays flat."""
    while page := registry.reviewable(after, PAGE):
        yield from page
        after = page[-1].thread.key


def redecide(parts: Parts, now: datetime) -> int:
    """Decide all living rows from the registry's facts where the rules changed; count changes.

    A pass that was cut short goes on where it stopped, as long as the rules are still the same.
    """
    if not is_outdated(parts):
        return 0
    registry, digest = parts.registry, rules_digest(parts)
    reviewer = Reviewer(parts, registry.holds(now))
    after, changed = registry.redecide_cursor(digest), 0
    if after is None:
        registry.set_policies_digest("")  # until the pass ends, rows are of two minds
    silence = Silence(parts.policies, registry.holds(now), now)
    while page := registry.reviewable(after, PAGE):
        after = page[-1].thread.key
        reviews = [reviewer.on_facts(entry, now) for entry in page]
        for entry in page:
            silence.see(entry)
        changed += registry.reschedule([_rescheduled(review, now) for review in reviews])
        silence.record(registry, digest)
        registry.set_redecide_cursor(digest, after)
    registry.set_policies_digest(digest)
    return changed


def _rescheduled(
    review: Review, now: datetime
) -> tuple[Key, datetime | None, str | None, datetime | None]:
    """When to look again; what is up for review stays so, and so does who was never seen."""
    decision, at = review.decision, review.entry.review_at
    again = now if decision.stages else decision.review_at
    review_at = at if at is not None and at <= now else again
    if review.sightings.baseline_at is None:
        review_at = min((one for one in (at, review_at) if one is not None), default=None)
    return review.thread.key, review_at, decision.policy, decision.due_at
