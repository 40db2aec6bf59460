"""What is needed to remove copies past their date, and whether a person has to do it first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = "thread"
COLUMNS: dict[str, type[sa.JSON | sa.String]] = {
    "copy_older": sa.JSON,
    "archive_terms": sa.JSON,
    "prune_run": sa.String,
}
PRUNABLE = sa.text("archive_keep_until IS NOT NULL")
COPIED = sa.text("copy_path IS NOT NULL")
WAITS = "prune_waits"


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column(TABLE, sa.Column(name, kind(), nullable=True))
    op.drop_index("ix_thread_prunable", TABLE)
    _index("ix_thread_prunable", ["archive_keep_until", "project", "kind", "id"], PRUNABLE)
    _index("ix_thread_copy", ["copy_path"], COPIED)
    # Versions before this one recorded dates and removed nothing: a person looks first.
    op.execute(
        f"INSERT INTO meta (key, value) SELECT '{WAITS}', '1' "  # noqa: S608 - ours
        "WHERE EXISTS (SELECT 1 FROM thread WHERE archive_keep_until IS NOT NULL)"
    )


def downgrade() -> None:
    op.execute(f"DELETE FROM meta WHERE key = '{WAITS}'")  # noqa: S608 - ours
    op.drop_index("ix_thread_copy", TABLE)
    op.drop_index("ix_thread_prunable", TABLE)
    _index("ix_thread_prunable", ["archive_keep_until"], PRUNABLE)
    for name in COLUMNS:
        op.drop_column(TABLE, name)


def _index(name: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, TABLE, columns, sqlite_where=where, postgresql_where=where)
