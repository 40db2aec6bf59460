"""What people change on a Friday evening: edits by which threads would go earlier than promised."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sweep_world import DAY, NOW, World, enforced, matching

from janitor.model import Key
from janitor.policy import Policies
from janitor.policy.rules import (
    AgeFrom,
    ArchiveRule,
    Delete,
    KeepLast,
    Lifetime,
    Policy,
    SoftDelete,
)


@dataclass(frozen=True)
class Chat:
    """A thread of so many days at the second sweep; `idle` says when it was last active."""

    age: int
    idle: int | None = None
    metadata: tuple[tuple[str, str], ...] = (("plan", "trial"),)

    def put(self, world: World, later: int = 1) -> Key:
        """Put it at the server and into the registry, to have its age in so many days."""
        idle = self.age if self.idle is None else self.idle
        created_at, active_at = (NOW - (days - later) * DAY for days in (self.age, idle))
        said = dict(self.metadata)
        return world.add(
            created_at=created_at, active_at=active_at, metadata=said, upstream=said, items=2
        )


@dataclass(frozen=True)
class Edit:
    """Policies before and after; `early` goes earlier by the edit, `due` goes under both now."""

    name: str
    old: Policies
    new: Policies
    early: Chat
    due: Chat
    others: tuple[Chat, ...] = ()


TRIAL = matching(plan="trial")
PAID = (("plan", "paid"),)
PINNED = (("plan", "trial"), ("pinned", "true"))
MONTH, TWO, QUARTER = Delete(30 * DAY), Delete(60 * DAY), Delete(90 * DAY)
CHATS = Policy("chats", TRIAL, delete=MONTH)
UNPINNED = replace(CHATS, excepts=matching(pinned="true"))
LEGAL = Policy("legal", matching(pinned="true"), keep_forever=True)
LAST = Policy(
    "chats", TRIAL, age_from=AgeFrom.CREATED, keep_last=KeepLast(2), delete=Delete(30 * DAY)
)
MARKED = Policy("chats", TRIAL, soft_delete=SoftDelete(60 * DAY), delete=QUARTER)
COPIED = replace(CHATS, archive=ArchiveRule(after=7 * DAY, keep_for=90 * DAY))

EDITS = (
    Edit(
        "a shorter after",
        enforced(replace(CHATS, delete=TWO)),
        enforced(CHATS),
        early=Chat(40),
        due=Chat(60),
    ),
    Edit(
        "a wider match",
        enforced(CHATS),
        enforced(Policy("chats", delete=MONTH)),
        early=Chat(40, metadata=PAID),
        due=Chat(30),
    ),
    Edit(
        "a lost except",
        enforced(UNPINNED),
        enforced(CHATS),
        early=Chat(40, metadata=PINNED),
        due=Chat(30),
    ),
    Edit(
        "a lower keep_last",
        enforced(LAST),
        enforced(replace(LAST, keep_last=KeepLast(1))),
        early=Chat(50, idle=5),
        due=Chat(30, idle=25),
        others=(Chat(50, idle=2),),
    ),
    Edit(
        "a dropped keep: forever",
        enforced(CHATS, LEGAL),
        enforced(CHATS),
        early=Chat(40, metadata=PINNED),
        due=Chat(30),
    ),
    Edit(
        "a dropped policy whose later date protected",
        enforced(CHATS, Policy("slow", TRIAL, delete=QUARTER)),
        enforced(CHATS),
        early=Chat(40),
        due=Chat(90),
    ),
    Edit(
        "a lower lifetime.min",
        enforced(CHATS, lifetime=Lifetime(min=60 * DAY)),
        enforced(CHATS, lifetime=Lifetime(min=10 * DAY)),
        early=Chat(40),
        due=Chat(60),
    ),
    Edit(
        "a new lifetime.max",
        enforced(replace(CHATS, delete=QUARTER)),
        enforced(replace(CHATS, delete=QUARTER), lifetime=Lifetime(max=50 * DAY)),
        early=Chat(55),
        due=Chat(90),
    ),
    Edit(
        "an earlier soft delete",
        enforced(MARKED),
        enforced(replace(MARKED, soft_delete=SoftDelete(30 * DAY))),
        early=Chat(40),
        due=Chat(60),
    ),
    Edit(
        "a renamed policy that is shorter, too",
        enforced(replace(CHATS, delete=TWO)),
        enforced(replace(CHATS, name="talks")),
        early=Chat(40),
        due=Chat(60),
    ),
)
BY_NAME = {edit.name: edit for edit in EDITS}
