"""Signs plans, and keeps those handed over until they are carried out."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from sqlalchemy import RowMapping, insert, select, text, update
from sqlmodel import Field

from janitor.errors import ConfigError
from janitor.registry.database import Store, read_meta
from janitor.registry.tables import METADATA, Row, partial

WAITING = "closed_at IS NULL"
KEY = "plan_key"
"""The name of the key that plans are signed with: 32 random bytes, which are never shown."""


class PlanRow(Row, table=True):
    """A plan that was handed over; its document is dropped once the plan is closed.

    `run` is the run that carried it out or refused it.
    """

    __tablename__ = "plan"
    __table_args__ = (partial("ix_plan_waiting", "number", where=WAITING),)

    number: int | None = Field(default=None, primary_key=True)
    digest: str
    document: str | None = None
    max_age_seconds: float
    actor: str
    handed_over_at: datetime
    closed_at: datetime | None = None
    run: str | None = None


PLAN = METADATA.tables["plan"]


@dataclass(frozen=True, slots=True)
class Handover:
    """A plan that waits to be carried out: its digest, who handed it over, and when.

    It is refused if it is older than `max_age` when its turn comes.
    """

    number: int
    digest: str
    actor: str
    at: datetime
    max_age: timedelta


class Plans:
    """Signs plans, with the key of the registry they are made from, and queues them.

    A plan handed over waits until a run has carried it out or refused it; no plan waits twice.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def signature(self, digest: str, made_at: datetime) -> str:
        """HMAC-SHA256 with the registry's key over a plan's digest, its time and the registry's id.

        Raises:
            ConfigError: The registry has lost its key.
        """
        with self._store.reading() as connection:
            key = read_meta(connection, KEY)
        if not key:
            raise ConfigError(
                f"{self._store.name} has lost the key that signs plans: run `janitor db upgrade` "
                "to create another, then make the plan again"
            )
        spelled = orjson.dumps(["plan", self._store.id, digest, made_at])
        return hmac.digest(key.encode(), spelled, "sha256").hex()

    def hand_over(
        self, digest: str, document: str, *, actor: str, max_age: timedelta, now: datetime
    ) -> Handover:
        """Queues a plan for the service; one that is already waiting is returned as it is."""
        row = {
            "digest": digest,
            "document": document,
            "max_age_seconds": max_age.total_seconds(),
            "actor": actor,
            "handed_over_at": now,
        }
        same = select(PLAN).where(text(WAITING), PLAN.c.digest == digest)
        with self._store.writing_alone() as connection:
            if connection.execute(same).first() is None:
                connection.execute(insert(PLAN), row)
            return _handover(connection.execute(same).mappings().one())

    def waiting(self) -> list[Handover]:
        """The waiting plans, first come first."""
        waiting = select(PLAN).where(text(WAITING)).order_by(PLAN.c.number)
        columns = waiting.with_only_columns(*(c for c in PLAN.c if c.name != "document"))
        with self._store.reading() as connection:
            return [_handover(row) for row in connection.execute(columns).mappings()]

    def document(self, number: int) -> str | None:
        """The document of a waiting plan; `None` once the plan is closed."""
        waiting = select(PLAN.c.document).where(text(WAITING), PLAN.c.number == number)
        with self._store.reading() as connection:
            found: str | None = connection.scalar(waiting)
            return found

    def end(self, digest: str, run: str, now: datetime) -> bool:
        """Closes a plan that a run is done with, whoever started it; whether it was waiting."""
        waiting = update(PLAN).where(text(WAITING), PLAN.c.digest == digest)
        over = {"closed_at": now, "run": run, "document": None}
        with self._store.writing() as connection:
            return bool(connection.execute(waiting.values(over)).rowcount)


def _handover(row: RowMapping) -> Handover:
    max_age = timedelta(seconds=row["max_age_seconds"])
    return Handover(row["number"], row["digest"], row["actor"], row["handed_over_at"], max_age)
