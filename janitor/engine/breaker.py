"""The health of each project in a run; stops a project whose calls fail as a whole.

A wrong key looks like an empty account. A changed endpoint or credential is proven only by a thread
that was seen alive under the previous one: threads registered since then may be in a different
account, where a wrong key sees them but none of the older ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

import orjson

from janitor.archive import ArchiveDamagedError
from janitor.engine.context import RunContext
from janitor.engine.errors import DELETED_BESIDE, UnsettledError
from janitor.errors import (
    AccessError,
    ArchiveError,
    IncompleteError,
    JanitorError,
    LimitError,
    TooLargeError,
    UnsupportedError,
)
from janitor.policy.rules import Limits
from janitor.registry import Entry, Note
from janitor.texts import counted

LEAST_MISSING = 5
GONE = "gone"
SWEEP = "janitor sweep"
REPEAT = "the same command again"
FAILURES_TO_DOUBT = 2
"""This many failures without an answer count against the project; one may be the thread's fault."""
NOT_ASKED = "not_asked"
"""Why a thread is kept if its project refused access or was stopped before."""
THREAD_ERRORS = (UnsupportedError, IncompleteError, TooLargeError, ArchiveDamagedError)
"""Errors that concern one thread: the server answered about it alone, or its copy is at fault."""


@dataclass(frozen=True, slots=True)
class SeenAccess:
    """The fingerprint of endpoint and credential, and when threads last answered under it."""

    fingerprint: str
    at: datetime


class SeenAccesses:
    """The proven access of each project, kept in the registry for later runs to compare with.

    Reads the registry, and writes to it unless `dry`, so its methods block.
    """

    def __init__(self, context: RunContext, *, dry: bool = False) -> None:
        self._context = context
        self._dry = dry
        self._answered: set[str] = set()

    def before(self, project: str) -> SeenAccess | None:
        """The access under which threads were last seen alive; `None` if none ever was."""
        stored = self._context.registry.key_values.recall(_name(project))
        if stored is None:
            return None
        record = orjson.loads(stored)
        return SeenAccess(record["fingerprint"], datetime.fromisoformat(record["at"]))

    def is_proven(self, project: str) -> bool:
        """Whether threads were seen alive under the access of this run."""
        before = self.before(project)
        return before is not None and before.fingerprint == self._ours(project)

    def proof_cutoff(self, project: str) -> datetime | None:
        """Only threads first seen before this time prove our access; `None` if any thread does."""
        before = self.before(project)
        return None if before is None or self.is_proven(project) else before.at

    def has_answered(self, project: str) -> bool:
        """Whether a thread has proven our access in this run."""
        return project in self._answered

    def answered(self, entry: Entry) -> None:
        """Note a thread that answered, which may prove our access; the registry is told once."""
        project = entry.thread.key.project
        if self.has_answered(project):
            return
        by, first = self.proof_cutoff(project), entry.sightings.baseline_at
        if by is None or (first is not None and first <= by):
            self._answered.add(project)
            self._remember(project)

    def renew(self) -> None:
        """Store at a run's end when threads were last seen alive, to prove a later access."""
        for project in self._answered:
            self._remember(project)

    def _ours(self, project: str) -> str:
        return self._context.projects[project].access

    def _remember(self, project: str) -> None:
        if self._dry:
            return
        record = asdict(SeenAccess(self._ours(project), self._context.clock()))
        self._context.registry.key_values.remember(_name(project), orjson.dumps(record).decode())


def _name(project: str) -> str:
    return f"access_{project}"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a project was stopped: the limit's name, a message, and the exit code."""

    project: str
    limit: str
    message: str
    exit_code: int

    @classmethod
    def of(cls, note: Note) -> Stop:
        """A stop as another janitor of the run recorded it."""
        where, limit, message = (str(note[name]) for name in ("project", "limit", "message"))
        return cls(where, limit, message, int(note["exit_code"]))

    @property
    def looks_on(self) -> bool:
        """Whether the project's other threads are still probed, without being acted on."""
        return self.limit == GONE

    def note(self) -> Note:
        """The stop as a note in the run's record."""
        return asdict(self)


def everywhere_stopped(
    archive_error: ArchiveError | None, trouble: str | None, again: str
) -> Iterator[Stop]:
    """The stops that apply to all projects: a failing archive, and `trouble` with the clock."""
    if archive_error is not None:
        message = (
            f"{archive_error}. Policies that archive are paused; nothing was removed under them. "
            f"Fix that, then run: {again}"
        )
        yield Stop("", "archive", message, archive_error.exit_code)
    if trouble is not None:
        yield Stop("", "clock_step", trouble, LimitError.exit_code)


@dataclass(frozen=True, slots=True)
class FailureTally:
    """How many threads were probed, and how many of them the server did not know."""

    asked: int = 0
    missing: int = 0

    def __add__(self, other: FailureTally) -> FailureTally:
        return FailureTally(self.asked + other.asked, self.missing + other.missing)

    def is_over(self, limits: Limits) -> bool:
        """Whether so many are missing that the project as a whole is in doubt."""
        too_many = self.missing * 100 > limits.max_missing_percent * self.asked
        return self.missing >= LEAST_MISSING and too_many


class Breaker:
    """Counts the answers about a project's threads, and decides when to stop the project.

    Failures of a whole project count against the project, never against its threads; while it is
    stopped, none of its threads is touched. Failures in a row are those that this janitor saw.
    Missing threads are counted over all janitors of the run (`hear`) and judged by asking canaries:
    `doubt` if none answered, `gone` if the credential was proven right. `again` is the command that
    a person is told to run once the cause of a stop is fixed.
    """

    def __init__(
        self, project: str, limits: Limits, again: str = SWEEP, *, dry: bool = False
    ) -> None:
        self._project = project
        self._is_dry = dry
        self._again = again
        self._limits = limits
        self._others = FailureTally()
        self._streak = 0
        self._is_gone = False
        self._stop: Stop | None = None
        self.own = FailureTally()

    @property
    def stop(self) -> Stop | None:
        """Why the project is stopped; the message for missing threads has the current numbers."""
        if self._stop is None and self._is_gone:
            return Stop(self._project, GONE, self._gone_message(), 4)
        return self._stop

    @property
    def must_be_judged(self) -> bool:
        """Whether too many are missing and canaries have not been asked yet."""
        return self.stop is None and self._tally.is_over(self._limits)

    @property
    def has_answered(self) -> bool:
        """Whether the server answered about any thread, known to it or not."""
        return self._tally.asked > 0

    def answered(self) -> None:
        """Count a thread that the server knows."""
        self.own += FailureTally(1, 0)
        self._streak = 0

    def missed(self) -> None:
        """Count a thread that the server does not know."""
        self.own += FailureTally(1, 1)
        self._streak = 0

    def hear(self, others: FailureTally) -> None:
        """Replace the counts of the other janitors of the run."""
        self._others = others

    def failed(self, cause: str = "") -> None:
        """Count a failed call that says nothing about the thread; `cause` says how it failed."""
        self._streak += 1
        if self._streak >= self._limits.max_errors:
            message = (
                f"project {self._project}: {counted(self._streak, 'call')} in a row failed; the "
                f"project is stopped, and nothing more of it is touched. Last error: {cause}. Fix "
                f"that, then run: {self._again}"
            )
            self._trip("max_errors", message, 4)

    def unauthorised(self, message: str) -> None:
        """Stop, since the credential was refused."""
        self._trip("unauthorised", message, 3)

    def doubt(self, why: str) -> None:
        """Stop, and believe no "not found": nothing proves that the credential is right."""
        name = self._project
        message = (
            f"{self._share()}, and {why}; the project is stopped, nothing more of it is touched, "
            "and none of them was recorded as missing. A wrong key or endpoint looks exactly "
            f"like this: check api_key, organization, project and base_url under projects.{name}, "
            "then run `janitor plan`. Only if all of a kind are gone for good: `janitor missing "
            f"accept --project {name} --kind KIND --without-canary --reason R`"
        )
        self._trip("missing", message, 4)

    def gone(self) -> None:
        """The credential is right and the threads are gone: keep probing, but do nothing."""
        self._is_gone = True

    def heed(self, stop: Stop) -> None:
        """Adopt a stop of another janitor of the run."""
        if stop.looks_on:
            self._is_gone = True
        elif self._stop is None:
            self._stop = stop

    @property
    def _tally(self) -> FailureTally:
        return self.own + self._others

    def _share(self) -> str:
        limit = f"{self._limits.max_missing_percent:g} %"
        return (
            f"project {self._project}: {self._tally.missing} of "
            f"{counted(self._tally.asked, 'thread asked for was', 'threads asked for were')} "
            f"answered 'not found' (limit {limit})"
        )

    def _gone_message(self) -> str:
        name, again = self._project, "asked for again after 1, 7 and 30 days"
        outcome = (
            f"Nothing else of it was touched from then on; they are now `missing`, {again}, and "
            "the next sweep continues with the others."
        )
        if self._is_dry:
            outcome = (
                f"A sweep records them as `missing`, {again}, and does nothing else in this "
                "project; the next one continues with the others."
            )
        return (
            f"{self._share()}, while others of the same kinds answer, so the key and endpoint are "
            f"right, and those threads are gone. {outcome} See: `janitor missing list --project "
            f"{name}`; to accept their loss: `janitor missing accept --project {name} --reason R`"
        )

    def _trip(self, limit: str, message: str, exit_code: int) -> None:
        if self._stop is None:
            self._stop = Stop(self._project, limit, message, exit_code)


class ProjectHealth:
    """A breaker for each project, and the threads that failed since one was last seen alive.

    Stops are shared by all janitors of the run: `fresh_stop` returns each of our own stops once,
    `heed` adopts those of others. `again` is the command that a person is told to run once the
    cause of a stop is fixed.
    """

    def __init__(
        self, projects: Iterable[str], limits: Limits, again: str = SWEEP, *, dry: bool = False
    ) -> None:
        self._again = again
        self._breakers = {name: Breaker(name, limits, again, dry=dry) for name in projects}
        self._streaks: dict[str, list[Entry]] = {name: [] for name in self._breakers}
        self._last: dict[str, str] = {}
        self._shared: set[tuple[str, str]] = set()

    def breaker(self, project: str) -> Breaker:
        """The project's breaker; KeyError if the project is not configured."""
        return self._breakers[project]

    def is_stopped(self, project: str) -> bool:
        """Whether the project is stopped, so that none of its threads may be touched."""
        return self._breakers[project].stop is not None

    def may_be_asked(self, project: str) -> bool:
        """Whether the project's threads may be probed."""
        stop = self._breakers[project].stop
        return stop is None or stop.looks_on

    def answered(self, project: str) -> None:
        """Count a thread that the server knows; this ends a row of failures."""
        self._streaks[project].clear()
        self._breakers[project].answered()

    def missed(self, project: str) -> None:
        """Count an unknown thread. Failures stay: under a wrong key every thread is unknown."""
        self._breakers[project].missed()

    def failed(self, entry: Entry, why: JanitorError) -> None:
        """Count a failed call against the project, unless it concerns the thread alone."""
        project = entry.thread.key.project
        if isinstance(why, AccessError):
            self.unauthorised(project, str(why))
        elif not isinstance(
            why.__cause__ if isinstance(why, UnsettledError) else why, THREAD_ERRORS
        ):
            self._streaks[project].append(entry)
            self._last[project] = str(why)
            self._breakers[project].failed(str(why))

    def unauthorised(self, project: str, message: str) -> None:
        """Stop the project, since its credential was refused."""
        self._breakers[project].unauthorised(message)

    def stops(self) -> list[Stop]:
        """Every project that was stopped, and why."""
        return [breaker.stop for breaker in self._breakers.values() if breaker.stop is not None]

    def fresh_stop(self, project: str) -> Stop | None:
        """The project's stop if the other janitors have not been told of it, else `None`."""
        breaker = self._breakers.get(project)
        stop = None if breaker is None else breaker.stop
        if stop is None or (project, stop.limit) in self._shared:
            return None
        self._shared.add((project, stop.limit))
        return stop

    def heed(self, notes: Iterable[Note]) -> None:
        """Adopt the stops of the run's other janitors."""
        for stop in map(Stop.of, notes):
            self._shared.add((stop.project, stop.limit))
            breaker = self._breakers.get(stop.project)
            if breaker is not None:
                breaker.heed(stop)

    def unanswered(self) -> list[str]:
        """Projects where several threads were probed and the server answered about none."""
        streaks = self._streaks.items()
        failing = [name for name, failed in streaks if len(failed) >= FAILURES_TO_DOUBT]
        return [name for name in failing if not self._breakers[name].has_answered]

    def silences(self) -> tuple[str, ...]:
        """A sentence for each project that never answered: what failed, and what to do."""
        return tuple(
            f"project {name}: {counted(len(self._streaks[name]), 'thread was', 'threads were')} "
            f"asked for and none was answered. Last error: {self._last[name]}. This does not "
            "count as a failure of the threads. "
            f"{'Run' if DELETED_BESIDE in self._last[name] else 'Check the endpoint, then run'}: "
            f"{self._again}"
            for name in self.unanswered()
            if not self.is_stopped(name)
        )

    def blameless(self) -> list[Entry]:
        """The threads that failed with their whole project, as they were before the run."""
        stopped = {stop.project for stop in self.stops() if not stop.looks_on}
        failing = stopped.union(self.unanswered())
        return [entry for project in failing for entry in self._streaks[project]]
