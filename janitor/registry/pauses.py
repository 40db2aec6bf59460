"""Pauses: what a person told every janitor to leave alone for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from janitor.registry.database import Store, read_meta, set_meta

EVERYTHING = "all"
_META = "pauses"


@dataclass(frozen=True, slots=True)
class Pause:
    """What is paused (`all`, `project:NAME` or `policy:NAME`), why, by whom, and until when.

    With `until=None` it lasts until `resume`.
    """

    scope: str
    reason: str
    actor: str
    at: datetime
    until: datetime | None = None

    def covers(self, project: str, policy: str | None) -> bool:
        """Whether a thread of this project, governed by this policy, is left alone."""
        if self.scope in (EVERYTHING, f"project:{project}"):
            return True
        return policy is not None and self.scope == f"policy:{policy}"


class Pauses:
    """Stores pauses with the rows they protect, not in a configuration that may be broken."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, pause: Pause) -> None:
        """Sets a pause; one of the same scope is replaced."""
        self._rewrite(lambda known: [*(p for p in known if p.scope != pause.scope), pause])

    def end(self, scope: str) -> bool:
        """Ends the pause of that scope; false if there was none."""
        was = any(pause.scope == scope for pause in self._recorded())
        self._rewrite(lambda known: [pause for pause in known if pause.scope != scope])
        return was

    def in_force(self, now: datetime) -> tuple[Pause, ...]:
        """The pauses in force."""
        return tuple(p for p in self._recorded() if p.until is None or p.until > now)

    def _recorded(self) -> list[Pause]:
        return [_pause(row) for row in orjson.loads(self._store.meta(_META) or "[]")]

    def _rewrite(self, change: Callable[[Sequence[Pause]], list[Pause]]) -> None:
        with self._store.writing_alone() as connection:
            known = [_pause(row) for row in orjson.loads(read_meta(connection, _META) or "[]")]
            set_meta(connection, _META, orjson.dumps(change(known)).decode())


def _pause(values: dict[str, str | None]) -> Pause:
    until = values["until"]
    return Pause(
        str(values["scope"]),
        str(values["reason"]),
        str(values["actor"]),
        datetime.fromisoformat(str(values["at"])),
        None if until is None else datetime.fromisoformat(until),
    )
