"""The tables, the same on both engines; callers get frozen records instead of their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

import orjson
from sqlalchemy import JSON, Column, Dialect, Enum, Index, Integer, MetaData, String, Table, text
from sqlmodel import Field, SQLModel, UTCDateTime

from janitor.model import Kind, Outcome, Stage, State
from janitor.registry.records import RunResult

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
}


def partial(name: str, *columns: str, where: str) -> Index:
    """An index over the rows that satisfy a condition.

    On PostgreSQL the migration alone names it: here it would import that engine for SQLite, too.
    """
    return Index(name, *columns, sqlite_where=text(where))


def by_value(enum: type[StrEnum]) -> Enum:
    """An enum stored as its value, so that renaming a member changes no row."""
    return Enum(
        enum,
        native_enum=False,
        length=20,
        values_callable=lambda members: [member.value for member in members],
    )


class StoredTime(UTCDateTime):
    """A time in UTC, which SQLite stores as text; converted in one step there."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """What writes a time; ValueError if it has no zone."""
        return _written if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """What reads a time."""
        return _read if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _written(at: datetime | None) -> str | None:
    if at is None:
        return None
    if at.tzinfo is not UTC:
        if at.utcoffset() is None:
            raise ValueError("a time without a zone cannot be stored")
        at = at.astimezone(UTC)
    # Three times as fast as `isoformat`, and a row has several times.
    text = str(orjson.dumps(at), "ascii")
    return f"{text[1:11]} {text[12:20]}{text[20:27] if at.microsecond else '.000000'}"


def _read(text: str | None) -> datetime | None:
    return None if text is None else time_of(text)


def time_of(text: str) -> datetime:
    """A time that SQLite has as text: as written here, or in another form that is one."""
    if len(text) == ZONELESS:
        return datetime.fromisoformat(text + "+00:00")
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


ZONELESS = len("2026-01-31 00:00:00.000000")


# Pages follow the order of keys, which also breaks ties: it must be the same on both engines.
NAME = String().with_variant(String(collation="C"), "postgresql")


def json() -> Any:  # noqa: ANN401  what a field holds is said by its annotation
    """A column of JSON in which `None` is NULL."""
    return Field(default=None, sa_type=JSON(none_as_null=True))


# Conditions of partial indexes. SQLite uses one only if the statement repeats it word for word.
REVIEWABLE = "review_at IS NOT NULL AND state IN ('active', 'archived', 'soft_deleted')"
RANKED = "last_active_at IS NOT NULL AND state IN ('active', 'archived')"
UNSETTLED = "state IN ('deleting', 'missing')"
CLAIMED = "claim_owner IS NOT NULL"
FAILING = "attempts > 0"
DEAD = "deleted_at IS NOT NULL"
PRUNABLE = "archive_keep_until IS NOT NULL"
COPIED = "copy_path IS NOT NULL"
UNKNOWN_UPSTREAM = "missing_since IS NOT NULL"
UNDRAINED = "drained_at IS NULL"
REFUSED = "refused IS NOT NULL"
FED = "source IS NOT NULL"


class Row(SQLModel):
    """The base of all tables of the registry, with table metadata of their own."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING)


class ThreadRow(Row, table=True):
    """One registered container; times are UTC to the microsecond, NULL means unknown.

    A claim belongs to `claim_owner`, one of the janitors that work on `claim_run`, until
    `claim_until`. Without an owner the row is free, and `claim_run` is done with it.

    `copy_older` are the paths of older objects of its series that may still exist, `archive_terms`
    is what a tombstone must record about its copy, and `prune_run` the run that is removing it.
    `last_outcome` tells how the last of `attempts` in a row ended: `failed` or `busy`.
    """

    __tablename__ = "thread"
    __table_args__ = (
        partial("ix_thread_review", "review_at", "project", "kind", "id", where=REVIEWABLE),
        partial("ix_thread_rank", "last_active_at", where=RANKED),
        partial("ix_thread_unsettled", "state", "project", "kind", "id", where=UNSETTLED),
        partial("ix_thread_claim", "claim_run", where=CLAIMED),
        partial("ix_thread_failing", "project", "kind", "id", where=FAILING),
        partial("ix_thread_dead", "deleted_at", where=DEAD),
        partial(
            "ix_thread_prunable", "archive_keep_until", "project", "kind", "id", where=PRUNABLE
        ),
        partial("ix_thread_copy", "copy_path", where=COPIED),
        partial("ix_thread_missing", "project", "kind", "id", where=UNKNOWN_UPSTREAM),
        partial("ix_thread_source", "source", "project", "kind", "id", where=FED),
    )

    project: str = Field(sa_type=NAME, primary_key=True)
    kind: Kind = Field(sa_type=by_value(Kind), primary_key=True)
    id: str = Field(sa_type=NAME, primary_key=True)
    state: State = Field(sa_type=by_value(State))
    registered_at: datetime
    source: str | None = None
    vanished_at: datetime | None = None
    created_at: datetime | None = None
    last_active_at: datetime | None = None
    dated_before: datetime | None = None
    reported_at: datetime | None = None
    touched_at: datetime | None = None
    upstream_at: datetime | None = None
    baseline_at: datetime | None = None
    changed_at: datetime | None = None
    newest_item: str | None = None
    alive_at: datetime | None = None
    items: int | None = None
    reported: dict[str, str] | None = json()
    upstream: dict[str, str] | None = json()
    reported_before: dict[str, str] | None = json()
    keep_until: datetime | None = None
    review_at: datetime | None = None
    policy: str | None = None
    due_at: datetime | None = None
    soft_deleted_at: datetime | None = None
    # `grace_until` and `grace_by` of a thread, under the names of the first schema.
    spared_until: datetime | None = None
    spared_by: str | None = None
    deleted_at: datetime | None = None
    deleted_run: str | None = None
    missing_since: datetime | None = None
    copy_path: str | None = None
    copy_digest: str | None = None
    copy_sealed: str | None = None
    copy_items: int | None = None
    copy_newest_item: str | None = None
    copy_size: int | None = None
    copied_at: datetime | None = None
    copy_is_current: bool = False
    copy_older: list[str] | None = json()
    archive_keep_until: datetime | None = None
    archive_terms: dict[str, Any] | None = json()
    prune_run: str | None = None
    claim_run: str | None = None
    claim_owner: str | None = None
    claim_until: datetime | None = None
    attempts: int = 0
    last_error: str | None = None
    last_outcome: Outcome | None = Field(default=None, sa_type=by_value(Outcome))
    intent_run: str | None = None
    intent_at: datetime | None = None
    intent_policy: str | None = None
    intent_alive_at: datetime | None = None
    intent_access: str | None = None


class LabelRow(Row, table=True):
    """One metadata pair of a thread, reported or from the server, for look-ups by value."""

    __tablename__ = "label"
    __table_args__ = (
        Index("ix_label_value", "key", "value", "project", "kind", "id"),
        {"sqlite_with_rowid": False},
    )

    project: str = Field(sa_type=NAME, primary_key=True)
    kind: Kind = Field(sa_type=by_value(Kind), primary_key=True)
    id: str = Field(sa_type=NAME, primary_key=True)
    key: str = Field(primary_key=True)
    value: str = Field(primary_key=True)


class SeenRow(Row, table=True):
    """One thread that a scan of a list or a source has seen; deleted when the scan ends."""

    __tablename__ = "seen"
    __table_args__ = ({"sqlite_with_rowid": False},)

    round: str = Field(sa_type=NAME, primary_key=True)
    project: str = Field(sa_type=NAME, primary_key=True)
    kind: Kind = Field(sa_type=by_value(Kind), primary_key=True)
    id: str = Field(sa_type=NAME, primary_key=True)


class CountRow(Row, table=True):
    """How many rows are in a state under a governing policy (`''`: none), and how many copies."""

    __tablename__ = "count"
    __table_args__ = ({"sqlite_with_rowid": False},)

    project: str = Field(primary_key=True)
    kind: Kind = Field(sa_type=by_value(Kind), primary_key=True)
    state: State = Field(sa_type=by_value(State), primary_key=True)
    policy: str = Field(primary_key=True)
    n: int
    copies: int


class TotalRow(Row, table=True):
    """What all closed runs did together, so that a metric never goes backwards."""

    __tablename__ = "total"

    policy: str = Field(primary_key=True)
    stage: Stage = Field(sa_type=by_value(Stage), primary_key=True)
    outcome: Outcome = Field(sa_type=by_value(Outcome), primary_key=True)
    n: int


class HoldRow(Row, table=True):
    """A legal hold and, once it has ended, the record of it."""

    __tablename__ = "hold"

    number: int | None = Field(default=None, primary_key=True)
    name: str = Field(index=True)
    reason: str
    ids: list[str] | None = json()
    labels: dict[str, str] | None = json()
    until: datetime | None = None
    added_at: datetime
    added_by: str
    released_at: datetime | None = None
    released_by: str | None = None
    release_reason: str | None = None


class RunRow(Row, table=True):
    """One run; `link` is its place in the chain of digests, set when it closes.

    From `ready_at` on, other janitors may join: the exceeded limits (`tripped`) are known by then.
    """

    __tablename__ = "run"

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    command: str
    mode: str
    policies_digest: str
    started_at: datetime
    closed_at: datetime | None = None
    result: RunResult | None = Field(default=None, sa_type=by_value(RunResult))
    counts: dict[str, int] | None = json()
    ready_at: datetime | None = None
    tripped: list[dict[str, str | int]] | None = json()
    stops: list[dict[str, str | int]] | None = json()
    link: int | None = Field(default=None, unique=True)
    previous: str | None = None
    digest: str | None = None


class EventRow(Row, table=True):
    """One line of the audit trail; only ever appended."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_run", "run", "number"),
        Index("ix_event_thread", "id", "number"),
    )

    number: int | None = Field(default=None, primary_key=True)
    run: str
    at: datetime
    project: str
    kind: Kind = Field(sa_type=by_value(Kind))
    id: str
    name: str
    stage: Stage | None = Field(default=None, sa_type=by_value(Stage))
    outcome: Outcome | None = Field(default=None, sa_type=by_value(Outcome))
    policy: str | None = None
    reason: str | None = None
    response_id: str | None = None


class ApprovalRow(Row, table=True):
    """Policies that were approved; the last one counts."""

    __tablename__ = "approval"

    number: int | None = Field(default=None, primary_key=True)
    digest: str
    document: str
    actor: str
    reason: str
    at: datetime


class MetaRow(Row, table=True):
    """Single facts about the registry itself."""

    __tablename__ = "meta"

    key: str = Field(primary_key=True)
    value: str


class InboxRow(Row, table=True):
    """What applications append; its columns are a promise to them and never change meaning.

    If `v`, `at` or `event` are left out, PostgreSQL fills in version 1, now or `register`.
    """

    __tablename__ = "janitor_inbox"
    __table_args__ = (
        partial("ix_janitor_inbox_undrained", "seq", where=UNDRAINED),
        Index("ix_janitor_inbox_drained", "drained_at"),
        partial("ix_janitor_inbox_refused", "seq", where=REFUSED),
        {"sqlite_autoincrement": True},
    )

    seq: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    v: int
    project: str
    kind: str
    id: str
    at: datetime
    event: str
    created_at: datetime | None = None
    metadata_: dict[str, str] | None = Field(
        default=None, sa_column=Column("metadata", JSON(none_as_null=True))
    )
    keep_until: datetime | None = None
    drained_at: datetime | None = None
    refused: str | None = None


METADATA = Row.metadata
TABLES: Mapping[str, Table] = METADATA.tables
for _table in TABLES.values():
    for _column in _table.columns:
        if isinstance(_column.type, UTCDateTime):
            _column.type = StoredTime()

THREAD = TABLES["thread"]
LABEL = TABLES["label"]
SEEN = TABLES["seen"]
COUNT = TABLES["count"]
TOTAL = TABLES["total"]
HOLD = TABLES["hold"]
RUN = TABLES["run"]
EVENT = TABLES["event"]
APPROVAL = TABLES["approval"]
META = TABLES["meta"]
INBOX = TABLES["janitor_inbox"]
