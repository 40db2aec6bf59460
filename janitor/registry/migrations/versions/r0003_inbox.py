"""What may be left out of the inbox, until when a thread is kept, and what was refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = "janitor_inbox"
REFUSED = sa.text("refused IS NOT NULL")
DEFAULTS: dict[str, sa.TextClause | None] = {
    "v": sa.text("1"),
    "at": sa.text("now()"),
    "event": sa.text("'register'"),
}


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("keep_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_janitor_inbox_refused", TABLE, ["seq"], sqlite_where=REFUSED, postgresql_where=REFUSED
    )
    _default(DEFAULTS)


def downgrade() -> None:
    _default(dict.fromkeys(DEFAULTS))
    op.drop_index("ix_janitor_inbox_refused", TABLE)
    op.drop_column(TABLE, "keep_until")


def _default(values: dict[str, sa.TextClause | None]) -> None:
    # SQLite alters no column, and a table made anew costs every first start.
    if op.get_context().dialect.name == "postgresql":
        for name, value in values.items():
            op.alter_column(TABLE, name, server_default=value)
