"""What a sweep works with; composed by the command line and handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from janitor.archive import Archive
from janitor.drivers import Driver, Guard
from janitor.errors import ArchiveError
from janitor.model import Key, Kind, Mode, NotFound
from janitor.policy import Policies
from janitor.policy.retention import selection
from janitor.registry import Event, Registry
from janitor.sweep.clocks import ClockWatch


@dataclass(frozen=True, slots=True)
class Project:
    """One project: a driver per kind that it serves.

    `access` is the fingerprint of endpoint and credential, `concurrency` the most calls at once.
    Projects of the same `account` reach the same containers; `""` is shared with nobody. Where
    not `account_is_known`, it stands for every account that it may be.
    `discovers` says that what it lists is registered before a sweep.
    `not_found` is the form of its server's 404: any other than the API's is believed only beside a
    thread that is seen alive.
    `reserve` waits for the turn of a method's next request, which that request then need not do.
    """

    name: str
    drivers: Mapping[Kind, Driver]
    access: str
    concurrency: int = 32
    trust_reported: bool = True
    not_found: NotFound = NotFound.OPENAI
    discovers: bool = False
    account: str = ""
    account_is_known: bool = True
    reserve: Callable[[str], AbstractAsyncContextManager[None]] = lambda _: nullcontext()


@dataclass(frozen=True, slots=True)
class Notice:
    """What just happened to a thread, told after its commit; `size` in bytes stored."""

    event: Event
    size: int = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """The registry, the projects, the archive and the policies of one run.

    `notify` is told of every look and every action after its commit; `clock` gives aware UTC.
    `guard` holds changing requests back once the run's lease is over, `watch` the whole run once
    the clock turns out to be wrong.
    Without an archive no policy archives, or `archive_error` says why none could be opened.
    `sources` names the configured sources: what one of them feeds is not removed while it fails.
    `approved` are the policies approved last where they are others than `policies`: until those
    are approved, too, both apply and the most protective wins.
    """

    registry: Registry
    projects: Mapping[str, Project]
    archive: Archive | None
    policies: Policies
    clock: Callable[[], datetime]
    notify: Callable[[Notice], None]
    tombstones_keep_for: timedelta = timedelta(days=400)
    archive_error: ArchiveError | None = None
    guard: Guard = field(default_factory=Guard)
    approved: Policies | None = None
    watch: ClockWatch = field(default_factory=ClockWatch)
    sources: tuple[str, ...] = ()

    def twins_of(self, project: str) -> tuple[str, ...]:
        """The other projects whose ids name the same containers, by name."""
        own = self.projects.get(project)
        if own is None or not own.account:
            return ()
        others = (one for one in self.projects.values() if one.name != project)
        return tuple(sorted(one.name for one in others if one.account == own.account))

    def container_of(self, key: Key) -> Key | None:
        """One key for all rows of a container; `None` where no other project reaches it."""
        twins = self.twins_of(key.project)
        return replace(key, project=min(key.project, *twins)) if twins else None

    def side_of(self, policy: str) -> Policies:
        """The policies that one belongs to: the configured ones, unless only the approved have it.

        What is no policy belongs to the configured ones.
        """
        if self.approved is None or any(rule.name == policy for rule in self.policies.rules):
            return self.policies
        approved = any(rule.name == policy for rule in self.approved.rules)
        return self.approved if approved else self.policies

    def mode_of(self, policy: str) -> Mode:
        """The mode of the policy of that name, where it stands."""
        return self.side_of(policy).mode_of(policy)

    @property
    def sides(self) -> tuple[Policies, ...]:
        """Every policies that have a say, the configured ones first."""
        return (self.policies,) if self.approved is None else (self.policies, self.approved)


def selected(parts: Parts) -> str:
    """A digest of which threads the policies mean; empty while two sets of them apply."""
    return selection(parts.policies) if parts.approved is None else ""
