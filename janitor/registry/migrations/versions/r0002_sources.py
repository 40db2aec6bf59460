"""Which source feeds a thread, whether it vanished there, and what a pass has come by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")
FED = sa.text("source IS NOT NULL")


def upgrade() -> None:
    op.add_column("thread", sa.Column("source", sa.String(), nullable=True))
    op.add_column("thread", sa.Column("vanished_at", sa.DateTime(timezone=True), nullable=True))
    columns = ["source", "project", "kind", "id"]
    op.create_index("ix_thread_source", "thread", columns, sqlite_where=FED, postgresql_where=FED)
    op.create_table(
        "seen",
        sa.Column("round", NAME, nullable=False),
        sa.Column("project", NAME, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.PrimaryKeyConstraint("round", "project", "kind", "id", name="pk_seen"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("seen")
    op.drop_index("ix_thread_source", "thread")
    op.drop_column("thread", "vanished_at")
    op.drop_column("thread", "source")
