"""Pauses: what a person told every janitor to leave alone for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from janitor.registry.database import Store, read_meta, set_meta

EVERYTHING = "all"
PAUSES = "pauses"
"""The registry's key for them."""


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

    def is_in_force(self, now: datetime) -> bool:
        """Whether it has not ended by itself."""
        return self.until is None or self.until > now


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
        return tuple(pause for pause in self._recorded() if pause.is_in_force(now))

    def _recorded(self) -> tuple[Pause, ...]:
        return pauses_of(self._store.meta(PAUSES))

    def _rewrite(self, change: Callable[[Sequence[Pause]], list[Pause]]) -> None:
        with self._store.writing_alone() as connection:
            known = pauses_of(read_meta(connection, PAUSES))
            set_meta(connection, PAUSES, orjson.dumps(change(known)).decode())


def pauses_of(text: str | None) -> tuple[Pause, ...]:
    """The pauses in the text in which they are stored."""
    return tuple(_pause(row) for row in orjson.loads(text or "[]"))


def _pause(values: dict[str, str | None]) -> Pause:
    until = values["until"]
    return Pause(
        str(values["scope"]),
        str(values["reason"]),
        str(values["actor"]),
        datetime.fromisoformat(str(values["at"])),
        None if until is None else datetime.fromisoformat(until),
    )
