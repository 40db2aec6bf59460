"""Which endpoint and credential a project's threads were last seen alive under.

A changed one proves itself only by a thread that was seen alive under the one before: what has
been registered since may live somewhere else altogether, where a wrong key sees it and nothing
of what was there before.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

import orjson

from janitor.registry import Entry
from janitor.sweep.parts import Parts


@dataclass(frozen=True, slots=True)
class Access:
    """The fingerprint of endpoint and credential, and when threads last answered under it."""

    fingerprint: str
    at: datetime


class Accesses:
    """The proven access of each project; kept in the registry, for later runs to compare with.

    Reads and writes the registry: it blocks.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._answered: set[str] = set()

    def before(self, project: str) -> Access | None:
        """The access under which threads were seen alive; `None`: none ever was."""
        said = self._parts.registry.recall(_name(project))
        if said is None:
            return None
        record = orjson.loads(said)
        return Access(record["fingerprint"], datetime.fromisoformat(record["at"]))

    def is_proven(self, project: str) -> bool:
        """Whether threads were seen alive under the access of this run."""
        before = self.before(project)
        return before is not None and before.fingerprint == self._ours(project)

    def seen_by(self, project: str) -> datetime | None:
        """By when a thread must have been seen first to prove our access; `None`: any proves it."""
        before = self.before(project)
        return None if before is None or self.is_proven(project) else before.at

    def has_answered(self, project: str) -> bool:
        """Whether the run has proven our access already, or anew."""
        return project in self._answered

    def answered(self, entry: Entry) -> None:
        """A thread answered under our access, which may prove it; the registry is told once."""
        project = entry.thread.key.project
        if not self.has_answered(project) and self._is_proof(entry):
            self._answered.add(project)
            self._remember(project)

    def renew(self) -> None:
        """At a run's end: what was seen alive in it can prove a later access."""
        for project in self._answered:
            self._remember(project)

    def _is_proof(self, entry: Entry) -> bool:
        by, first = self.seen_by(entry.thread.key.project), entry.sightings.baseline_at
        return by is None or (first is not None and first <= by)

    def _ours(self, project: str) -> str:
        return self._parts.projects[project].access

    def _remember(self, project: str) -> None:
        record = asdict(Access(self._ours(project), self._parts.clock()))
        self._parts.registry.remember(_name(project), orjson.dumps(record).decode())


def _name(project: str) -> str:
    return f"access_{project}"
