"""Stops a project whose calls fail as a whole; a wrong key looks like an empty account."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from janitor.policy.rules import Limits
from janitor.registry import Note

LEAST_MISSING = 5


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

    def note(self) -> Note:
        """The stop as the run's record keeps it."""
        return asdict(self)


class Breaker:
    """Counts how a project's threads answered and says when to stop.

    Failures of a whole project count against the project, never against its threads: while it
    is stopped, nothing of it is touched and nothing found missing is believed.
    """

    def __init__(self, project: str, limits: Limits) -> None:
        self._project = project
        self._limits = limits
        self._asked = 0
        self._missing = 0
        self._streak = 0
        self.stop: Stop | None = None

    def answered(self) -> None:
        """The server knew the thread."""
        self._asked += 1
        self._streak = 0

    def missed(self) -> None:
        """The server did not know the thread."""
        self._asked += 1
        self._missing += 1
        self._streak = 0
        too_many = self._missing * 100 > self._limits.max_missing_percent * self._asked
        if self._missing >= LEAST_MISSING and too_many:
            self._trip("missing", self._missing_message(), 4)

    def failed(self) -> None:
        """A call failed in a way that says nothing of the thread."""
        self._streak += 1
        if self._streak >= self._limits.max_errors:
            message = (
                f"project {self._project}: {self._streak} calls in a row failed; stopped. Nothing "
                "of it is touched until they succeed: check the endpoint, then run the sweep again"
            )
            self._trip("max_errors", message, 4)

    def unauthorised(self, message: str) -> None:
        """The credential was refused."""
        self._trip("unauthorised", message, 3)

    def _missing_message(self) -> str:
        return (
            f"project {self._project}: {self._missing} of {self._asked} threads asked for were "
            f"answered 'not found' (limit {self._limits.max_missing_percent:g} %); stopped, and "
            "none of them was settled as missing. A wrong key or endpoint looks exactly like "
            "this: check api_key, organization, project and base_url, then run `janitor plan`"
        )

    def _trip(self, limit: str, message: str, exit_code: int) -> None:
        if self.stop is None:
            self.stop = Stop(self._project, limit, message, exit_code)
