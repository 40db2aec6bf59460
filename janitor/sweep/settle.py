"""What a look or an action writes back: one settlement per thread and step."""

from __future__ import annotations

from datetime import datetime, timedelta

from janitor.model import Decision, Outcome, Stage, State
from janitor.registry import Entry, Event, Settlement
from janitor.sweep.review import Review

FIRST_BACKOFF = timedelta(minutes=5)
LONGEST_BACKOFF = timedelta(hours=24)
MISSING_AGAIN = (timedelta(days=1), timedelta(days=7), timedelta(days=30))


def backoff(attempts: int) -> timedelta:
    """How long a thread rests after its `attempts`-th failure in a row: 5 min, doubling, ≤ 24 h."""
    return min(FIRST_BACKOFF * (1 << min(attempts, 16)), LONGEST_BACKOFF)


def is_resting(entry: Entry, now: datetime) -> bool:
    """Whether the last attempt failed, and the next one is not due yet."""
    return entry.attempts > 0 and entry.review_at is not None and entry.review_at > now


def settlement(review: Review, decision: Decision) -> Settlement:
    """The facts of a look, and what follows from them.

    While a stage is still due, nothing has succeeded: earlier failures stay on record.
    """
    thread = review.thread
    return Settlement(
        thread.key,
        review_at=decision.review_at,
        state=thread.state,
        created_at=thread.created_at,
        sightings=review.sightings,
        upstream=thread.upstream,
        items=thread.items,
        copy_is_current=thread.copy_is_current,
        policy=decision.policy,
        due_at=decision.due_at,
        decided=True,
        spared_until=thread.spared_until,
        spared_by=thread.spared_by,
        reported=thread.reported,
        seen_review_at=review.entry.review_at,
        keep_failure=bool(decision.stages),
    )


def setback(entry: Entry, now: datetime, failure: str) -> Settlement:
    """A thread that could not be worked on: it rests, and later sweeps try again."""
    at = now + backoff(entry.attempts)
    return Settlement(
        entry.thread.key,
        at,
        policy=entry.policy,
        due_at=entry.due_at,
        failure=failure,
        seen_review_at=entry.review_at,
    )


def kept(entry: Entry, now: datetime) -> Settlement:
    """A thread that is no longer what was decided about, found so without a look."""
    key, policy, due_at = entry.thread.key, entry.policy, entry.due_at
    return Settlement(key, now, policy=policy, due_at=due_at, keep_failure=True)


def not_found(entry: Entry, line: Event) -> Settlement:
    """The note that the server did not know a thread; what is missing already is asked for less."""
    since = entry.missing_since if entry.thread.state is State.MISSING else None
    again = missing_again_at(since, line.at)
    seen = entry.review_at
    return Settlement(entry.thread.key, again, missing=True, seen_review_at=seen, events=(line,))


def missing_again_at(since: datetime | None, now: datetime) -> datetime | None:
    """When to ask again for a thread that the server did not know: after 1, 7, 30 days."""
    since = since or now
    return next((since + after for after in MISSING_AGAIN if since + after > now), None)


def event(
    run: str,
    at: datetime,
    review: Review,
    name: str,
    *,
    stage: Stage | None = None,
    outcome: Outcome | None = None,
) -> Event:
    """A line of the audit about a reviewed thread."""
    return Event(run, at, review.thread.key, name, stage, outcome, review.decision.policy)
