"""Small texts that other rooms find again at the next run."""

from __future__ import annotations

from janitor.registry.store import Store

_PREFIX = "of_"


class Remembering(Store):
    """Keeps texts by name, each for the one who wrote it; no conversation and no secret."""

    def recall(self, name: str) -> str | None:
        """What was remembered under a name; `None`: nothing."""
        return self._meta(_PREFIX + name) or None

    def remember(self, name: str, value: str) -> None:
        """Keep a text under a name, in the place of what was there."""
        with self._writing() as connection:
            self._set_meta(connection, _PREFIX + name, value)
