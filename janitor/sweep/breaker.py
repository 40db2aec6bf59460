"""Stops a project whose calls fail as a whole; a wrong key looks like an empty account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from janitor.errors import ArchiveError, LimitError
from janitor.policy.rules import Limits
from janitor.registry import Note

LEAST_MISSING = 5
GONE = "gone"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a project was stopped: the limit's name, a sentence, and the exit code it means."""

    project: str
    limit: str
    message: str
    exit_code: int

    @classmethod
    def of(cls, note: Note) -> Stop:
        """A stop as another janitor of the run wrote it down."""
        where, limit, message = (str(note[name]) for name in ("project", "limit", "message"))
        return cls(where, limit, message, int(note["exit_code"]))

    @property
    def looks_on(self) -> bool:
        """Whether the project's other threads are still asked for: nothing is done with them."""
        return self.limit == GONE

    def note(self) -> Note:
        """The stop as the run's record keeps it."""
        return asdict(self)


def everywhere_stopped(archive_error: ArchiveError | None, trouble: str | None) -> Iterator[Stop]:
    """What stops all projects alike: an archive that fails, and `trouble` with the clock."""
    if archive_error is not None:
        message = (
            f"{archive_error}. Policies that archive are paused; nothing was removed under them. "
            "Mend that, then run: janitor sweep"
        )
        yield Stop("", "archive", message, archive_error.exit_code)
    if trouble is not None:
        yield Stop("", "clock_step", trouble, LimitError.exit_code)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many threads were asked for, and how many of them the server did not know."""

    asked: int = 0
    missing: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.asked + other.asked, self.missing + other.missing)

    def is_over(self, limits: Limits) -> bool:
        """Whether so many were missing that it says something of the project as a whole."""
        too_many = self.missing * 100 > limits.max_missing_percent * self.asked
        return self.missing >= LEAST_MISSING and too_many


class Breaker:
    """Counts how a project's threads answered and says when to stop.

    Failures of a whole project count against the project, never against its threads: while it
    is stopped, nothing of it is touched. Failures in a row are those that this janitor saw; what
    was missing is counted over all janitors of the run (`hear`), and judged by asking canaries:
    `doubt` where none answered, `gone` where the credential was proven to be right.
    """

    def __init__(self, project: str, limits: Limits) -> None:
        self._project = project
        self._limits = limits
        self._others = Tally()
        self._streak = 0
        self._is_gone = False
        self._stop: Stop | None = None
        self.own = Tally()

    @property
    def stop(self) -> Stop | None:
        """Why the project is stopped; what is gone is told with the numbers of this moment."""
        if self._stop is None and self._is_gone:
            return Stop(self._project, GONE, self._gone_message(), 4)
        return self._stop

    @property
    def must_be_judged(self) -> bool:
        """Whether too many are missing and nobody has said yet what that means."""
        return self.stop is None and self._tally.is_over(self._limits)

    @property
    def has_answered(self) -> bool:
        """Whether the server answered about any thread, known to it or not."""
        return self._tally.asked > 0

    def answered(self) -> None:
        """The server knew the thread."""
        self.own += Tally(1, 0)
        self._streak = 0

    def missed(self) -> None:
        """The server did not know the thread."""
        self.own += Tally(1, 1)
        self._streak = 0

    def hear(self, others: Tally) -> None:
        """Take in what the other janitors of the run have counted by now."""
        self._others = others

    def failed(self, cause: str = "") -> None:
        """A call failed in a way that says nothing of the thread; `cause` says how."""
        self._streak += 1
        if self._streak >= self._limits.max_errors:
            message = (
                f"project {self._project}: {self._streak} calls in a row failed; stopped, nothing "
                f"more of it is touched. The last one: {cause}. Mend that, then run: janitor sweep"
            )
            self._trip("max_errors", message, 4)

    def unauthorised(self, message: str) -> None:
        """The credential was refused."""
        self._trip("unauthorised", message, 3)

    def doubt(self, why: str) -> None:
        """Nothing proves that the credential is the right one: stop, and believe nothing."""
        self._trip("missing", self._doubt_message(why), 4)

    def gone(self) -> None:
        """The credential is right and those threads are gone: look on, but do nothing."""
        self._is_gone = True

    def heed(self, stop: Stop) -> None:
        """Stop as another janitor of the run did."""
        if stop.looks_on:
            self._is_gone = True
        elif self._stop is None:
            self._stop = stop

    @property
    def _tally(self) -> Tally:
        return self.own + self._others

    def _found(self) -> str:
        limit = f"{self._limits.max_missing_percent:g} %"
        return (
            f"project {self._project}: {self._tally.missing} of {self._tally.asked} threads asked "
            f"for were answered 'not found' (limit {limit})"
        )

    def _doubt_message(self, why: str) -> str:
        name = self._project
        return (
            f"{self._found()}, and {why}; stopped, nothing more of it is touched, and none of "
            "them was settled as missing. A wrong key or endpoint looks exactly like this: check "
            f"api_key, organization, project and base_url under projects.{name}, then run `janitor "
            f"plan`. Only if all of a kind are gone for good: `janitor missing accept --project "
            f"{name} --kind KIND --without-canary --reason R`"
        )

    def _gone_message(self) -> str:
        name = self._project
        return (
            f"{self._found()}, while others of the same kinds answer: key and endpoint are right, "
            "those threads are gone. Nothing else of it was touched from then on; they are "
            "`missing` now, asked for again after 1, 7 and 30 days, and the next sweep goes on "
            f"with the others. Look: `janitor missing list --project {name}`; if they may be "
            f"forgotten: `janitor missing accept --project {name} --reason R`"
        )

    def _trip(self, limit: str, message: str, exit_code: int) -> None:
        if self._stop is None:
            self._stop = Stop(self._project, limit, message, exit_code)
