"""Small values that replicas share and the next run finds again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select, text, update

from janitor.registry.database import Store, set_meta
from janitor.registry.tables import META

PREFIX = "of_"
"""The stored key is this and the name."""
_ENSURE = text("INSERT INTO meta (key, value) VALUES (:key, '') ON CONFLICT (key) DO NOTHING")


class KeyValues:
    """Stores texts by name, each for its writer; never conversation text or a secret."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def recall(self, name: str) -> str | None:
        """The text stored under a name, or `None`."""
        return self._store.meta(PREFIX + name) or None

    def remember(self, name: str, value: str) -> None:
        """Stores a text under a name, replacing what was there."""
        with self._store.writing() as connection:
            set_meta(connection, PREFIX + name, value)

    def alter(self, name: str, change: Callable[[str | None, datetime], str]) -> None:
        """Changes the text stored under a name; concurrent callers wait.

        `change` gets the current text, or `None`, and the time by the clock that all janitors
        share.
        """
        row = META.c.key == PREFIX + name
        with self._store.writing() as connection:
            connection.execute(_ENSURE, {"key": PREFIX + name})
            before = connection.scalar(select(META.c.value).where(row).with_for_update())
            after = change(before or None, self._store.database.now(connection))
            connection.execute(update(META).where(row).values(value=after))
