"""The settlements of looks and actions, and group commits of many at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from janitor.engine.batcher import Batcher
from janitor.engine.review import Review
from janitor.errors import ClaimLostError
from janitor.model import Decision, Key, Outcome, Stage, State
from janitor.registry import Claimant, Entry, Event, Intent, Registry, Settlement, Witnessed

FIRST_BACKOFF = timedelta(minutes=5)
LONGEST_BACKOFF = timedelta(hours=24)
MISSING_AGAIN = (timedelta(days=1), timedelta(days=7), timedelta(days=30))
T = TypeVar("T")


def thread_backoff(attempts: int) -> timedelta:
    """How long a thread rests after a failure that follows `attempts` others in a row.

    5 minutes after the first, then twice as long each time, at most 24 hours.
    """
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
        grace_until=thread.grace_until,
        grace_by=thread.grace_by,
        reported=thread.reported,
        seen_review_at=review.entry.review_at,
        keep_failure=bool(decision.stages),
    )


def setback(entry: Entry, now: datetime, failure: str) -> Settlement:
    """A failed attempt: the thread rests for its backoff, and a later sweep tries again."""
    at = now + thread_backoff(entry.attempts)
    return Settlement(
        entry.thread.key,
        at,
        policy=entry.policy,
        due_at=entry.due_at,
        failure=failure,
        seen_review_at=entry.review_at,
    )


def kept(entry: Entry, now: datetime) -> Settlement:
    """A settlement for a thread that was found changed since its decision, without a look."""
    key, policy, due_at = entry.thread.key, entry.policy, entry.due_at
    return Settlement(key, now, policy=policy, due_at=due_at, keep_failure=True)


def not_found(entry: Entry, line: Event) -> Settlement:
    """A note that the server did not know a thread; a missing one is probed ever less often."""
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
    """An audit event about a reviewed thread."""
    return Event(run, at, review.thread.key, name, stage, outcome, review.decision.policy)


class SettlementWriter:
    """Writes intents and settlements for threads that are worked on concurrently.

    A call returns after its own change is committed, so that straight-line code (intent, call,
    settle) keeps its order, while changes that wait at the same moment share one commit.
    Only the caller that lost its claim gets ClaimLostError; the rest of the commit is written.
    """

    def __init__(self, registry: Registry, by: Claimant) -> None:
        self.by = by
        self._intents = Batch[Intent](lambda value: registry.settlements.intend(value, by), _key)
        self._settlements = Batch[Settlement](
            lambda value: registry.settlements.settle(value, by), _key
        )
        self._passes = Batch[Key](lambda keys: registry.claims.pass_by(by, keys), lambda key: key)
        self._later = Batch[Key](lambda keys: registry.claims.put_off(by, keys), lambda key: key)
        self._lines = Batch[Event](lambda value: _recorded(registry, value), lambda line: line.key)
        self._witnessed = Batch[Witnessed](registry.settlements.witness, lambda seen: seen.key)
        self._notes = Batch[Settlement](registry.settlements.note, _key)
        self._given_back: set[Key] = set()

    async def intend(self, *intents: Intent) -> None:
        """Commit the intents of one removing call: one, or one for each row of its container."""
        await self._intents.add(*intents)

    async def settle(self, *settlements: Settlement) -> None:
        """Commit what a look or an action changed."""
        await self._settlements.add(*settlements)
        self._given_back |= {change.key for change in settlements if not change.keep_claim}

    async def record(self, line: Event) -> None:
        """Commit an event of the audit trail that changes no thread."""
        await self._lines.add(line)

    async def witness(self, seen: Witnessed) -> None:
        """Commit that a thread was seen alive, whoever has its claim."""
        await self._witnessed.add(seen)

    async def note(self, settlement: Settlement) -> None:
        """Commit that a thread was not found or did not answer, whoever has its claim."""
        await self._notes.add(settlement)

    async def put_off(self, key: Key) -> None:
        """End the claim, so that the thread can be claimed once more in this run."""
        await self._later.add(key)
        self._given_back.add(key)

    async def give_back(self, key: Key) -> None:
        """End the claim if no settlement did: the thread stays as it is."""
        if key in self._given_back:
            self._given_back.discard(key)
        else:
            await self._passes.add(key)


class Batch(Generic[T]):
    """Collects values while a commit is under way and commits them together in the next one.

    `commit` returns the keys of values that it could not write because their claim was lost.
    """

    def __init__(
        self, commit: Callable[[Sequence[T]], Collection[Key]], key: Callable[[T], Key]
    ) -> None:
        def written(values: Sequence[T]) -> list[bool]:
            lost = commit(values)
            return [key(value) not in lost for value in values]

        self._key = key
        self._commits = Batcher(written)

    async def add(self, *values: T) -> None:
        """Return once the values are committed, together; raise the error if that commit fails."""
        for value, is_written in zip(values, await self._commits.ask_all(values), strict=True):
            if not is_written:
                key = self._key(value)
                raise ClaimLostError(f"{key.project} {key.id}: its lease has expired; skipped")


def _recorded(registry: Registry, lines: Sequence[Event]) -> frozenset[Key]:
    registry.runs.record(lines)
    return frozenset()


def _key(change: Intent | Settlement) -> Key:
    return change.key
