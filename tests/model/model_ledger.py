"""What must hold of a removal, from a memory of its own: who did what when, and what was promised.

Nothing of the program decides here. Where it and the model would have to agree on a fine point,
only what is obviously necessary is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from janitor.kinds import CATALOGUE
from janitor.model import Hold, Key, Kind, Mode
from janitor.policy import Policies
from janitor.policy.rules import AgeFrom, Policy, Selector

DAY = timedelta(days=1)
FOREVER = datetime.max.replace(tzinfo=UTC)
OUTSIDE = -1
"""The look after which something happened that no sweep was under way for: all looks see it."""


@dataclass(frozen=True, slots=True)
class Dated:
    """Activity, seen by looks at a `part` of the container that come after `look`."""

    at: datetime
    part: str = ""
    look: int = OUTSIDE


@dataclass(slots=True)
class Thing:
    """A container as the application knows it, and what the janitor has asked for of it.

    `upstream` are the versions of its metadata with the look after which each came. `items` maps
    every item that was ever there to the look after which it came.
    """

    key: Key
    created_at: datetime
    registered_at: datetime | None = None
    reported: Mapping[str, str] | None = None
    keep_until: datetime | None = None
    activity: list[Dated] = field(default_factory=list)
    upstream: list[tuple[Mapping[str, str], int]] = field(default_factory=list)
    items: dict[str, int] = field(default_factory=dict)
    busy: Dated | None = None
    is_deleted_by_app: bool = False
    looks: Counter[str] = field(default_factory=Counter)

    def is_seen(self, part: str, look: int) -> bool:
        """Whether the janitor has looked at that part since."""
        return part == "" or self.looks[part] > look

    def active_at(self) -> datetime | None:
        """The latest activity that the janitor can know of."""
        seen = [one.at for one in self.activity if self.is_seen(one.part, one.look)]
        return max([*seen, self.created_at]) if seen else self.registered_at

    def sides(self) -> list[tuple[Mapping[str, str], ...]]:
        """The metadata as rules look at it, for each version upstream that may be the one seen."""
        look = self.upstream[-1][1]
        unseen = len(self.upstream) > 1 and not self.is_seen("container", look)
        reported = self.reported or {}
        versions = self.upstream[-2:] if unseen else self.upstream[-1:]
        return [({**reported, **said}, reported, said) for said, _ in versions]


@dataclass(frozen=True, slots=True)
class Row:
    """What the registry says of a thread, as far as the model needs its word."""

    soft_deleted_at: datetime | None
    mates: Mapping[str, int]
    """For each `keep_last` policy how many others of the group the registry holds alive."""


@dataclass(slots=True)
class Promises:
    """Policies, holds and pauses in force: what nobody may break."""

    current: Policies
    approved: Policies
    holds: list[Hold] = field(default_factory=list)
    pauses: set[str] = field(default_factory=set)

    def objections(self, thing: Thing, row: Row, now: datetime) -> list[str]:
        """Why a thing must not be removed now; where an edit may be unseen, both must object."""
        found = [list(self._objections(thing, views, row, now)) for views in thing.sides()]
        return found[0] if all(found) else []

    def _objections(
        self, thing: Thing, views: tuple[Mapping[str, str], ...], row: Row, now: datetime
    ) -> Iterator[str]:
        if thing.registered_at is None:
            yield "never registered"
        if self.current.mode is Mode.AUDIT:
            yield "audit"
        if self.pauses & {"all", f"project:{thing.key.project}"}:
            yield "paused"
        if thing.keep_until is not None and thing.keep_until > now:
            yield "keep_until"
        if thing.busy is not None and thing.is_seen(thing.busy.part, thing.busy.look):
            yield "busy"
        for hold in self.holds:
            if names(hold, thing.key, views) and now < ends_at(hold, self.current.release_grace):
                yield f"held by {hold.name}"
        for said in (self.current, self.approved):
            yield from self._broken(said, thing, views, row, now)

    def _broken(
        self,
        said: Policies,
        thing: Thing,
        views: tuple[Mapping[str, str], ...],
        row: Row,
        now: datetime,
    ) -> Iterator[str]:
        if said.lifetime.min is not None and now < thing.created_at + said.lifetime.min:
            yield "lifetime.min"
        for rule in concerned(said, thing.key, views):
            if rule.keep_forever or (rule.delete is not None and rule.delete.after is None):
                yield f"kept by {rule.name}"
            if rule.keep_last is not None and row.mates[rule.name] < rule.keep_last.count:
                yield f"among the last by {rule.name}"
        deleting = [one for one in speaking(said, thing.key, views) if removal_age(one)]
        if not deleting:
            yield "no policy deletes it"
        for rule in deleting:
            base = base_of(rule, thing)
            if base is None or now < base + removal_age(rule):
                yield f"too young for {rule.name}"
        yield from _undo(speaking(said, thing.key, views), row, now)
        if deleting and {f"policy:{one.name}" for one in deleting} <= self.pauses:
            yield "all its policies are paused"
        audited = deleting and all(one.mode is Mode.AUDIT for one in deleting)
        if audited and self.approved == self.current:
            yield "all its policies are in audit"

    def archives(self, thing: Thing) -> bool:
        """Whether a policy on either side wants a copy before anything is removed."""
        asked = [
            any(one.archive for one in speaking(said, thing.key, views))
            for views in thing.sides()
            for said in (self.current, self.approved)
        ]
        return any(asked) if len(thing.sides()) == 1 else all(asked)


def _undo(rules: list[Policy], row: Row, now: datetime) -> Iterator[str]:
    """A soft delete comes first, and can be undone for as long as was said."""
    if not any(one.soft_delete for one in rules):
        return
    windows = [
        removal_age(one) - one.soft_delete.after if one.soft_delete else DAY
        for one in rules
        if removal_age(one)
    ]
    if row.soft_deleted_at is None:
        yield "not soft-deleted first"
    elif now < row.soft_deleted_at + max(windows, default=DAY):
        yield "within the undo window"


def removal_age(rule: Policy) -> timedelta:
    """After how long a policy deletes; zero where it never does."""
    return (rule.delete.after if rule.delete is not None else None) or timedelta()


def base_of(rule: Policy, thing: Thing) -> datetime | None:
    """From when a policy counts."""
    return thing.created_at if rule.age_from is AgeFrom.CREATED else thing.active_at()


def matches(selector: Selector, key: Key, view: Mapping[str, str]) -> bool:
    """Whether a selector of the model's strategies means a thread with this metadata."""
    wanted = {name: test.any_of or frozenset() for name, test in selector.metadata.items()}
    return all(view.get(name) in values for name, values in wanted.items())


def concerned(said: Policies, key: Key, views: tuple[Mapping[str, str], ...]) -> list[Policy]:
    """The policies that match on either side and make no exception of it."""
    return [
        one
        for one in said.rules
        if not one.default
        and any(matches(one.match, key, view) for view in views)
        and not is_excepted(one, key, views)
    ]


def speaking(said: Policies, key: Key, views: tuple[Mapping[str, str], ...]) -> list[Policy]:
    """The policies whose stages count, the default one only where no other matches."""
    union = views[0]
    found = [one for one in concerned(said, key, views) if matches(one.match, key, union)]
    return found or [one for one in said.rules if one.default]


def is_excepted(rule: Policy, key: Key, views: tuple[Mapping[str, str], ...]) -> bool:
    """Whether a policy makes an exception of the thread, by either side."""
    excepts = rule.excepts
    return excepts is not None and any(matches(excepts, key, view) for view in views)


def names(hold: Hold, key: Key, views: tuple[Mapping[str, str], ...]) -> bool:
    """Whether a hold names the thread, by id or by metadata of either side."""
    by_metadata = any(hold.metadata.items() <= view.items() for view in views)
    return key.id in hold.ids or (bool(hold.metadata) and by_metadata)


def ends_at(hold: Hold, grace: timedelta) -> datetime:
    """Until when a hold protects."""
    if hold.released_at is not None:
        return hold.released_at + grace
    return hold.until or FOREVER


def part_of(kind: Kind, rest: list[str]) -> str:
    """Which part of a container a request is about: itself, its items, or its runs."""
    if not rest:
        return "container"
    return "items" if rest[0] == CATALOGUE[kind].items_path else rest[0]
