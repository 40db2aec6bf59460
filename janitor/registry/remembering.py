"""Small texts that other rooms find again at the next run, and that replicas share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select, text, update

from janitor.registry.store import Store
from janitor.registry.tables import META

_PREFIX = "of_"
_ENSURE = text("INSERT INTO meta (key, value) VALUES (:key, '') ON CONFLICT (key) DO NOTHING")


class Remembering(Store):
    """Keeps texts by name, each for the one who wrote it; no conversation and no secret."""

    def recall(self, name: str) -> str | None:
        """What was remembered under a name; `None`: nothing."""
        return self._meta(_PREFIX + name) or None

    def remember(self, name: str, value: str) -> None:
        """Keep a text under a name, in the place of what was there."""
        with self._writing() as connection:
            self._set_meta(connection, _PREFIX + name, value)

    def alter(self, name: str, change: Callable[[str | None, datetime], str]) -> None:
        """Change what is remembered under a name; whoever else does so waits.

        `change` is given what is there and the time of the clock that all janitors share.
        """
        row = META.c.key == _PREFIX + name
        with self._writing() as connection:
            connection.execute(_ENSURE, {"key": _PREFIX + name})
            before = connection.scalar(select(META.c.value).where(row).with_for_update())
            after = change(before or None, self._database.now(connection))
            connection.execute(update(META).where(row).values(value=after))
