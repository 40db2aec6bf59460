"""The nouns of the policy language: what a policy file contains once it is parsed."""

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


class ArchiveAt(StrEnum):
    """Whether a copy waits for all policies that archive, or is made once this one asks for it."""

    LATEST = "latest"
    EARLIEST = "earliest"


class DeletionMark(StrEnum):
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
    """Which threads are selected; every clause must hold, and `None` selects all.

    If `any_of` is not empty, at least one of its selectors must hold, too; these have no `any_of`
    of their own.
    """

    kinds: frozenset[Kind] | None = None
    projects: frozenset[str] | None = None
    metadata: Mapping[str, Test] = field(default_factory=dict)
    any_of: tuple[Selector, ...] = ()

    @property
    def parts(self) -> tuple[Selector, ...]:
        """The selector itself and those in `any_of`."""
        return (self, *self.any_of)

    @property
    def alternatives(self) -> tuple[tuple[Selector, ...], ...]:
        """Each way to match: selectors that must all hold, whatever their `any_of`."""
        return tuple((self, one) for one in self.any_of) or ((self,),)


@dataclass(frozen=True, slots=True)
class ArchiveRule:
    """Copy when the age or the number of items is reached, whichever comes first.

    `keep_for` counts from the deletion upstream; `None` means forever.
    """

    after: timedelta | None = None
    items: int | None = None
    keep_for: timedelta | None = None
    at: ArchiveAt = ArchiveAt.LATEST

    @property
    def is_early(self) -> bool:
        """Whether its copy waits for no other policy."""
        return self.at is ArchiveAt.EARLIEST


@dataclass(frozen=True, slots=True)
class SoftDelete:
    """Mark for deletion; undone by `restore` and by activity."""

    after: timedelta
    mark: DeletionMark = DeletionMark.REGISTRY


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
    """One policy: which threads it matches, and when each stage applies.

    `mode=None` means the file's mode. A `default` applies if no other policy does; those with
    `beside_default` do not count.
    """

    name: str
    match: Selector = field(default_factory=Selector)
    excepts: Selector | None = None
    default: bool = False
    keep_forever: bool = False
    age_from: AgeFrom = AgeFrom.LAST_ACTIVITY
    archive: ArchiveRule | None = None
    soft_delete: SoftDelete | None = None
    delete: Delete | None = None
    trim: Trim | None = None
    keep_last: KeepLast | None = None
    max_percent: float | None = None
    max_threads: int | None = None
    mode: Mode | None = None
    beside_default: bool = False

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """Every selector in its `match` and `except`."""
        return (*self.match.parts, *(self.excepts.parts if self.excepts is not None else ()))

    @property
    def deletes(self) -> bool:
        """Whether it deletes at some age."""
        return self.delete is not None and self.delete.after is not None

    @property
    def removes(self) -> bool:
        """Whether any of its stages removes something: `soft_delete`, `trim` or `delete`."""
        return self.deletes or self.soft_delete is not None or self.trim is not None

    @property
    def forbids_deletion(self) -> bool:
        """Whether it has `delete: never`."""
        return self.delete is not None and self.delete.after is None


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Ages since creation: `min`, a floor under every policy, and `max`, a promise to delete."""

    min: timedelta | None = None
    max: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Policies:
    """Everything that decides, as one value. The order of `rules` never matters.

    `expire` gives, by the name of a source, how long after its row vanished a thread is deleted.
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
