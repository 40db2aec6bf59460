"""What the registry asks of an engine, and which one an address names.

Statements are the same on all engines; how one is opened, set, locked and explained is not.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson
from sqlalchemy import Column, ColumnElement, Connection, Engine, create_engine

WRITES = "janitor_writes"
"""The execution option of a transaction that writes."""


Lock = AbstractContextManager[object, None]
"""A lock, held from entering to leaving; LockedError where it is not to be had in time."""


class Database(Protocol):
    """One engine. `name` is how messages call the database; it never holds a password.

    `has_leases` tells whether claims lapse by a clock; otherwise the run's lock outlives them.
    """

    name: str
    engine: Engine
    has_leases: bool

    def explained(self) -> AbstractContextManager[None]:
        """Turns the engine's failure into a JanitorError that says what to do."""

    def pin(self) -> None:
        """Remember which database this is; from now on `check_in_place` compares with it."""

    def check_in_place(self) -> None:
        """StoreError where the database that was pinned is no longer what its name means."""

    def afresh(self) -> AbstractContextManager[Connection]:
        """A connection that sees what a new process would see."""

    def close(self) -> None:
        """Gives files and connections back."""

    def looking(self) -> AbstractContextManager[Connection | None]:
        """A transaction in which nothing can be written; `None` where there is nothing to see."""

    def now(self, connection: Connection, /) -> datetime:
        """The clock that leases are judged by."""

    def lease_end(self, now: datetime, /) -> datetime:
        """Until when a claim of this moment stands."""

    def alone(self, connection: Connection, /) -> None:
        """Keeps other transactions that ask for this out until this one ends."""

    def lock(self, wait: timedelta, *, shared: bool) -> Lock:
        """The lock of a run; `shared` where several janitors may work one sweep together."""

    def opening(self, wait: timedelta, /) -> Lock:
        """The lock under which a sweep is opened, joined and closed; LockedError after `wait`."""

    def syncing(self, wait: timedelta, /) -> Lock:
        """The lock under which sources are read; LockedError after `wait`."""

    def walking(self, name: str, wait: timedelta, /) -> Lock:
        """The lock under which the list of that name is walked; LockedError after `wait`."""

    def working(self, run: str) -> Lock:
        """A mark that a living janitor works this run; any number may set it."""

    def workers(self, run: str) -> int:
        """How many such marks there are."""

    def bytes_of(self, column: Column[Any], /) -> ColumnElement[bytes]:
        """What a column holds, as the bytes of its text, whatever somebody else put there."""

    def scrub(self) -> None:
        """Leaves no trace of what was overwritten, as far as that is for a client to do."""


def new_engine(url: Any, **options: Any) -> Engine:  # noqa: ANN401  handed through to SQLAlchemy
    """An engine that shows no parameters and speaks JSON as the rest of the program does."""
    return create_engine(
        url,
        hide_parameters=True,
        json_serializer=lambda value: orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode(),
        json_deserializer=orjson.loads,
        **options,
    )
