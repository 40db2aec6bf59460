"""What applications said apart from what dates a thread; times before 1973 were never set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FLOOR = datetime(1973, 1, 1, tzinfo=UTC)
PAGE = 1000
MOMENT = sa.DateTime(timezone=True)
KEY = ("project", "kind", "id")
DATES = ("created_at", "reported_at", "upstream_at", "baseline_at", "changed_at", "keep_until")
THREAD = sa.table(
    "thread",
    *(sa.column(name, sa.String()) for name in (*KEY, "newest_item")),
    *(sa.column(name, MOMENT) for name in (*DATES, "last_active_at", "review_at", "due_at")),
)


def upgrade() -> None:
    op.add_column("thread", sa.Column("touched_at", MOMENT, nullable=True))
    op.add_column("thread", sa.Column("dated_before", MOMENT, nullable=True))
    connection = op.get_bind()
    now, untrusted = datetime.now(UTC), _untrusted(connection)
    while page := _page(connection):
        _write(connection, [_read_again(row, now, untrusted) for row in page])


def downgrade() -> None:
    op.drop_column("thread", "dated_before")
    op.drop_column("thread", "touched_at")


def _untrusted(connection: sa.Connection) -> frozenset[str]:
    stored = connection.scalar(sa.text("SELECT value FROM meta WHERE key = 'untrusted'"))
    return frozenset(json.loads(stored or "[]"))


def _page(connection: sa.Connection) -> Sequence[sa.RowMapping]:
    """Rows with a time that was never set; none of them has one afterwards."""
    odd = sa.or_(*(THREAD.c[name] < _spelled(connection, FLOOR) for name in DATES))
    return connection.execute(sa.select(THREAD).where(odd).limit(PAGE)).mappings().all()


def _spelled(connection: sa.Connection, at: datetime | None) -> datetime | None:
    """A time as the engine compares and keeps it: SQLite has text in UTC, without the zone."""
    is_file = connection.dialect.name == "sqlite"
    return at.astimezone(UTC).replace(tzinfo=None) if is_file and at is not None else at


def _read_again(row: sa.RowMapping, now: datetime, untrusted: frozenset[str]) -> dict[str, Any]:
    """The row without them, dated by what is left, and up for review."""
    dates = {name: None if _is_unset(row[name]) else _aware(row[name]) for name in DATES}
    if dates["baseline_at"] is None:
        dates["changed_at"] = None
    reported = None if row["project"] in untrusted else dates["reported_at"]
    seen = [at for at in (reported, dates["upstream_at"], dates["changed_at"]) if at is not None]
    if not seen and dates["baseline_at"] is not None:
        seen = [dates["baseline_at"]]
    created_at = dates["created_at"]
    return {
        **dates,
        **{f"b_{name}": row[name] for name in KEY},
        "last_active_at": max([*seen, created_at] if created_at else seen) if seen else None,
        "newest_item": None if dates["baseline_at"] is None else row["newest_item"],
        "due_at": None,
        "review_at": None if row["review_at"] is None else now,
    }


def _aware(at: datetime | None) -> datetime | None:
    return at if at is None or at.tzinfo else at.replace(tzinfo=UTC)


def _is_unset(at: datetime | None) -> bool:
    aware = _aware(at)
    return aware is not None and aware < FLOOR


def _write(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    names = (*DATES, "newest_item", "last_active_at", "review_at", "due_at")
    statement = (
        sa.update(THREAD)
        .where(*(THREAD.c[name] == sa.bindparam(f"b_{name}") for name in KEY))
        .values({name: sa.bindparam(name) for name in names})
    )
    for row in rows:
        for name in (*DATES, "last_active_at", "review_at"):
            row[name] = _spelled(connection, row[name])
    connection.execute(statement, rows)
