"""Short ways to write policies and threads; ages and times are days before or after NOW."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from janitor.model import Hold, Key, Kind, Metadata, State, Thread
from janitor.policy import Policies, Policy, Ranks
from janitor.policy.rules import (
    ArchiveAt,
    ArchiveRule,
    Delete,
    Lifetime,
    Selector,
    SoftDelete,
    Test,
    Trim,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
TRIAL = {"plan": "trial"}


def days(number: float) -> timedelta:
    return timedelta(days=number)


def at(number: float) -> datetime:
    return NOW + days(number)


def equals(*values: str) -> Test:
    return Test(any_of=frozenset(values))


def exists(*, found: bool = True) -> Test:
    return Test(exists=found)


def glob(pattern: str) -> Test:
    return Test(glob=pattern)


def metadata(**tests: Test | str) -> Selector:
    return Selector(
        metadata={
            key: test if isinstance(test, Test) else equals(test) for key, test in tests.items()
        }
    )


def archive(after: float | None = None, items: int | None = None) -> ArchiveRule:
    return ArchiveRule(None if after is None else days(after), items, days(90))


def early(after: float | None = None, items: int | None = None) -> ArchiveRule:
    return replace(archive(after, items), at=ArchiveAt.EARLIEST)


def soft(after: float) -> SoftDelete:
    return SoftDelete(days(after))


def delete(after: float | None) -> Delete:
    return Delete(None if after is None else days(after))


def trim(keep_items: int, after: float | None = None) -> Trim:
    return Trim(keep_items, None if after is None else days(after))


def lifetime(least: float | None = None, most: float | None = None) -> Lifetime:
    return Lifetime(
        None if least is None else days(least),
        None if most is None else days(most),
    )


def thread(
    active: float | None = 0,
    created: float | None = 1000,
    *,
    reported: Metadata | None = TRIAL,
    upstream: Metadata | None = None,
    kind: Kind = Kind.CONVERSATION,
    project: str = "main",
    id: str = "t",
    state: State = State.ACTIVE,
    marked: float | None = None,
    keep_until: datetime | None = None,
    items: int | None = None,
    copied: bool = False,
    spared: datetime | None = None,
    vanished: float | None = None,
) -> Thread:
    """A thread created, last active, marked and gone from its table so many days ago."""
    return Thread(
        Key(project, kind, id),
        state=state,
        created_at=None if created is None else at(-created),
        last_active_at=None if active is None else at(-active),
        items=items,
        reported=reported,
        upstream=upstream,
        keep_until=keep_until,
        soft_deleted_at=None if marked is None else at(-marked),
        copy_is_current=copied,
        grace_until=spared,
        source=None if vanished is None else "chats",
        vanished_at=None if vanished is None else at(-vanished),
    )


def marked_thread(active: float, marked: float, *, copied: bool = False) -> Thread:
    return thread(active, marked=marked, copied=copied, state=State.SOFT_DELETED)


def policies(*rules: Policy, life: Lifetime | None = None, expire: float | None = None) -> Policies:
    expiring = {} if expire is None else {"chats": days(expire)}
    return Policies(rules, lifetime=life or Lifetime(), expire=expiring)


@dataclass(frozen=True)
class Row:
    """One golden case: what is given, and what of the decision is expected.

    `stages` as words; `due` and `review` in days from NOW, `None` for never, `...` unchecked.
    """

    id: str
    rules: tuple[Policy, ...]
    thread: Thread
    stages: str
    reason: str | None = None
    policy: object = ...
    due: object = ...
    review: object = ...
    life: Lifetime = field(default_factory=Lifetime)
    expire: float | None = None
    holds: tuple[Hold, ...] = ()
    ranks: Ranks | Mapping[str, int] = field(default_factory=dict)
