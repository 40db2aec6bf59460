"""What a run works with: registry, projects, archive and policies, composed by `app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from janitor.archive import Archive
from janitor.drivers import Driver, SendGuard
from janitor.engine.clock import ClockWatch
from janitor.engine.progress import Progress
from janitor.errors import ArchiveError
from janitor.model import Key, Kind, Mode, NotFound
from janitor.policy import Policies
from janitor.policy.copy_retention import selection
from janitor.rate_limit import ProjectLimiter
from janitor.registry import Event, Registry


@dataclass(frozen=True, slots=True)
class ConnectedProject:
    """One project: a driver per kind that it serves.

    `access` is the fingerprint of endpoint and credential, `concurrency` the most calls at once.
    Projects with the same `account` reach the same containers; `""` is shared with no other
    project. Unless `account_is_known`, the value stands for every account that it may be.
    `discovers`: the containers that it lists are registered before a sweep.
    `not_found` is the form of its server's 404; a form other than the API's is believed only if
    another thread is seen alive.
    `reserve` waits for the turn of a method's next request, so that the request itself need not
    wait.
    `limiter` decides how fast it may be called.
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
    limiter: ProjectLimiter | None = None


@dataclass(frozen=True, slots=True)
class RunNotice:
    """What just happened to a thread, sent after its commit; `size` in bytes stored."""

    event: Event
    size: int = 0


@dataclass(frozen=True, slots=True)
class RunContext:
    """The registry, the projects, the archive and the policies of one run.

    `notify` is called for every look and every action, after its commit; `clock` returns aware UTC.
    `guard` blocks changing requests once the run's lease is over; `watch` stops the whole run once
    the clock turns out to be wrong.
    If there is no archive, either no policy archives or `archive_error` says why it could not be
    opened.
    `progress` is told of each step.
    `sources` names the configured sources: threads that a failing source feeds are not removed.
    `approved` are the policies approved last, if they differ from `policies`: until `policies` are
    approved too, both apply and the most protective wins.
    """

    registry: Registry
    projects: Mapping[str, ConnectedProject]
    archive: Archive | None
    policies: Policies
    clock: Callable[[], datetime]
    notify: Callable[[RunNotice], None]
    tombstones_keep_for: timedelta = timedelta(days=400)
    archive_error: ArchiveError | None = None
    guard: SendGuard = field(default_factory=SendGuard)
    approved: Policies | None = None
    watch: ClockWatch = field(default_factory=ClockWatch)
    sources: tuple[str, ...] = ()
    progress: Progress = field(default_factory=Progress)

    @property
    def drivers(self) -> Mapping[str, Mapping[Kind, Driver]]:
        """The drivers of each project, by the kinds that it serves."""
        return {name: project.drivers for name, project in self.projects.items()}

    def driver(self, key: Key) -> Driver:
        """The driver that serves the thread.

        Raises:
            KeyError: No configured project serves its kind.
        """
        return self.projects[key.project].drivers[key.kind]

    def serves(self, key: Key) -> bool:
        """Whether a configured project serves the thread's kind."""
        project = self.projects.get(key.project)
        return project is not None and key.kind in project.drivers

    @property
    def store(self) -> Archive:
        """The archive.

        Raises:
            ArchiveError: No archive is open; the error says why.
        """
        if self.archive is None:
            raise self.archive_error or ArchiveError("no archive is open")
        return self.archive

    def twins_of(self, project: str) -> tuple[str, ...]:
        """The names of the other projects that reach the same containers, sorted."""
        own = self.projects.get(project)
        if own is None or not own.account:
            return ()
        others = (other for other in self.projects.values() if other.name != project)
        return tuple(sorted(other.name for other in others if other.account == own.account))

    @property
    def has_twins(self) -> bool:
        """Whether any two projects reach the same containers."""
        accounts = [project.account for project in self.projects.values() if project.account]
        return len({*accounts}) < len(accounts)

    def container_of(self, key: Key) -> Key | None:
        """One key for all rows of a container; `None` if no other project reaches it."""
        twins = self.twins_of(key.project)
        return replace(key, project=min(key.project, *twins)) if twins else None

    @property
    def places(self) -> int:
        """How many places a thread's `keep_last` groups have together, at most."""
        rules = (rule for side in self.sides for rule in side.rules)
        counts = sum(rule.keep_last.count for rule in rules if rule.keep_last is not None)
        return counts * max(1, len(self.projects))

    def side_of(self, policy: str) -> Policies:
        """The set that a policy belongs to: the configured one, unless only the other one has it.

        An unknown name belongs to the configured set.
        """
        if self.approved is None or any(rule.name == policy for rule in self.policies.rules):
            return self.policies
        approved = any(rule.name == policy for rule in self.approved.rules)
        return self.approved if approved else self.policies

    def mode_of(self, policy: str) -> Mode:
        """The mode of the policy of that name, in the set that it belongs to."""
        return self.side_of(policy).mode_of(policy)

    @property
    def sides(self) -> tuple[Policies, ...]:
        """The sets of policies that apply, the configured one first."""
        return (self.policies,) if self.approved is None else (self.policies, self.approved)


def selected(context: RunContext) -> str:
    """A digest of which threads the policies match; empty while two sets of policies apply."""
    return selection(context.policies) if context.approved is None else ""
