"""How the projects of a run fare: what answers, what fails, and what was stopped by whom."""

from __future__ import annotations

from collections.abc import Iterable

from janitor.errors import JanitorError
from janitor.policy.rules import Limits
from janitor.registry import Entry
from janitor.registry.entries import Note
from janitor.sweep.breaker import Breaker, Stop
from janitor.sweep.undone import DELETED_BESIDE

SEVERAL = 2
"""As many that fail, while none is answered, tell of their project; one may be a bad thread."""


class Standing:
    """A breaker for each project, and the threads that failed since one was last seen alive.

    What stops a project is shared by all janitors of the run: `fresh_stop` gives each stop of our
    own once, `heed` takes in those of others.
    """

    def __init__(self, projects: Iterable[str], limits: Limits) -> None:
        self._breakers = {name: Breaker(name, limits) for name in projects}
        self._streaks: dict[str, list[Entry]] = {name: [] for name in self._breakers}
        self._last: dict[str, str] = {}
        self._shared: set[tuple[str, str]] = set()

    def breaker(self, project: str) -> Breaker:
        """What counts a project's answers; KeyError where it is not configured."""
        return self._breakers[project]

    def is_stopped(self, project: str) -> bool:
        """Whether nothing of the project may be touched."""
        return self._breakers[project].stop is not None

    def may_be_asked(self, project: str) -> bool:
        """Whether the project's threads may be asked for, touched or not."""
        stop = self._breakers[project].stop
        return stop is None or stop.looks_on

    def answered(self, project: str) -> None:
        """The server knew a thread."""
        self._streaks[project].clear()
        self._breakers[project].answered()

    def missed(self, project: str) -> None:
        """The server did not know a thread; under a wrong key it knows none, so failures stay."""
        self._breakers[project].missed()

    def failed(self, entry: Entry, why: JanitorError) -> None:
        """A call about the thread failed in a way that says nothing of it."""
        project = entry.thread.key.project
        self._streaks[project].append(entry)
        self._last[project] = str(why)
        self._breakers[project].failed(str(why))

    def unauthorised(self, project: str, message: str) -> None:
        """The project's credential was refused."""
        self._breakers[project].unauthorised(message)

    def stops(self) -> list[Stop]:
        """Every project that was stopped, and why."""
        return [breaker.stop for breaker in self._breakers.values() if breaker.stop is not None]

    def fresh_stop(self, project: str) -> Stop | None:
        """The project's stop, where the other janitors have not been told of it."""
        breaker = self._breakers.get(project)
        stop = None if breaker is None else breaker.stop
        if stop is None or (project, stop.limit) in self._shared:
            return None
        self._shared.add((project, stop.limit))
        return stop

    def heed(self, notes: Iterable[Note]) -> None:
        """Stop what other janitors of the run have stopped."""
        for stop in map(Stop.of, notes):
            self._shared.add((stop.project, stop.limit))
            breaker = self._breakers.get(stop.project)
            if breaker is not None:
                breaker.heed(stop)

    def unanswered(self) -> list[str]:
        """Projects of which several threads were asked for and not one was answered."""
        streaks = self._streaks.items()
        failing = [name for name, failed in streaks if len(failed) >= SEVERAL]
        return [name for name in failing if not self._breakers[name].has_answered]

    def silences(self) -> tuple[str, ...]:
        """Of each project that never answered: how that showed, and what to do."""
        return tuple(
            f"project {name}: {len(self._streaks[name])} threads were asked for and none was "
            f"answered; the last one: {self._last[name]}. Nothing is held against them: "
            f"{'' if DELETED_BESIDE in self._last[name] else 'check the endpoint, then '}run: "
            "janitor sweep"
            for name in self.unanswered()
            if not self.is_stopped(name)
        )

    def blameless(self) -> list[Entry]:
        """Threads that failed with their whole project, as they were before."""
        stopped = {stop.project for stop in self.stops() if not stop.looks_on}
        failing = stopped.union(self.unanswered())
        return [entry for project in failing for entry in self._streaks[project]]
