"""The nouns of the policy language; what a policy file says once it is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from janitor.model import Kind, Mode


class AgeFrom(StrEnum):
    """Which moment a policy's ages count from."""

    LAST_ACTIVITY = "last_activity"
    CREATED = "created"


class Mark(StrEnum):
    """Where a soft delete leaves its mark."""

    REGISTRY = "registry"
    UPSTREAM = "upstream"


class Items(StrEnum):
    """Whether a delete drops the items itself (`first`) or leaves them to the API (`keep`)."""

    FIRST = "first"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Test:
    """What one metadata key must be: exactly one of the three is given.

    `any_of`: equal to one of these. `exists`: present or absent. `glob`: the whole value matches,
    case-sensitively, with `*` and `?` as in fnmatch.
    """

    any_of: frozenset[str] | None = None
    exists: bool | None = None
    glob: str | None = None


@dataclass(frozen=True, slots=True)
class Selector:
    """Which threads are meant; every clause must hold, `None` stands for every one."""

    kinds: frozenset[Kind] | None = None
    projects: frozenset[str] | None = None
    metadata: Mapping[str, Test] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Archive:
    """Copy when the age or the number of items is reached, whichever comes first.

    `keep_for` counts from the deletion upstream; `None` means forever.
    """

    after: timedelta | None = None
    items: int | None = None
    keep_for: timedelta | None = None


@dataclass(frozen=True, slots=True)
class SoftDelete:
    """Mark as to be deleted; undone by `restore` and by activity."""

    after: timedelta
    mark: Mark = Mark.REGISTRY


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove; `after=None` is written `delete: never` and protects from deletion."""

    after: timedelta | None
    items: Items = Items.FIRST


@dataclass(frozen=True, slots=True)
class Trim:
    """Keep a rolling window of the newest `keep_items` items."""

    keep_items: int
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class KeepLast:
    """Keep the `count` most recently active of each group; `per` is a metadata key or `None`."""

    count: int
    per: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """When a sweep must stop and a person must look. `None` lifts a limit."""

    max_percent: float = 10.0
    max_threads: int | None = None
    max_missing_percent: float = 20.0
    max_errors: int = 10
    clock_step: timedelta = timedelta(hours=6)
    max_duration: timedelta = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy: which threads, and when which stage. `mode=None` takes the file's."""

    name: str
    match: Selector = field(default_factory=Selector)
    excepts: Selector | None = None
    default: bool = False
    keep_forever: bool = False
    age_from: AgeFrom = AgeFrom.LAST_ACTIVITY
    archive: Archive | None = None
    soft_delete: SoftDelete | None = None
    delete: Delete | None = None
    trim: Trim | None = None
    keep_last: KeepLast | None = None
    max_percent: float | None = None
    max_threads: int | None = None
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A floor since creation under every policy, and a ceiling: a promise to delete."""

    min: timedelta | None = None
    max: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Policies:
    """Everything that decides, as one value. The order of `rules` never matters.

    `expire` has, by the name of a source, how long after its row vanished a thread is to go.
    """

    rules: tuple[Policy, ...] = ()
    mode: Mode = Mode.AUDIT
    lifetime: Lifetime = field(default_factory=Lifetime)
    limits: Limits = field(default_factory=Limits)
    release_grace: timedelta = timedelta(days=7)
    expire: Mapping[str, timedelta] = field(default_factory=dict)

    def mode_of(self, policy: str) -> Mode:
        """The mode of the policy of that name; audit wins where file and policy differ."""
        own = next((rule.mode for rule in self.rules if rule.name == policy), None)
        return Mode.AUDIT if Mode.AUDIT in (own, self.mode) else Mode.ENFORCE
