"""Pauses: a person's word that nothing is to be done for now, obeyed by every replica."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from janitor.registry.store import Store, read_meta

EVERYTHING = "all"
_META = "pauses"


@dataclass(frozen=True, slots=True)
class Pause:
    """What is paused (`all`, `project:NAME` or `policy:NAME`), why, by whom, and until when.

    `until=None` lasts until `resume`.
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


class Pausing(Store):
    """Pauses live beside the rows that they protect, not in a configuration that may be broken."""

    def pause(self, pause: Pause) -> None:
        """Sets a pause; one of the same scope is replaced."""
        self._rewrite(lambda known: [*(p for p in known if p.scope != pause.scope), pause])

    def resume(self, scope: str) -> bool:
        """Ends the pause of that scope; false where there was none."""
        was = any(pause.scope == scope for pause in self._recorded())
        self._rewrite(lambda known: [pause for pause in known if pause.scope != scope])
        return was

    def pauses(self, now: datetime) -> tuple[Pause, ...]:
        """The pauses in force."""
        return tuple(p for p in self._recorded() if p.until is None or p.until > now)

    def _recorded(self) -> list[Pause]:
        return [_pause(said) for said in orjson.loads(self._meta(_META) or "[]")]

    def _rewrite(self, change: Callable[[Sequence[Pause]], list[Pause]]) -> None:
        with self._writing_alone() as connection:
            known = [_pause(said) for said in orjson.loads(read_meta(connection, _META) or "[]")]
            self._set_meta(connection, _META, orjson.dumps(change(known)).decode())


def _pause(said: dict[str, str | None]) -> Pause:
    until = said["until"]
    return Pause(
        str(said["scope"]),
        str(said["reason"]),
        str(said["actor"]),
        datetime.fromisoformat(str(said["at"])),
        None if until is None else datetime.fromisoformat(until),
    )
