"""How the last attempt at a thread ended, so that somebody at work is told from a failure."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LAST_EVENT = """
    SELECT event.name FROM event
    WHERE event.id = thread.id AND event.project = thread.project AND event.kind = thread.kind
    ORDER BY event.number DESC LIMIT 1
"""


def upgrade() -> None:
    op.add_column("thread", sa.Column("last_outcome", sa.String(20), nullable=True))
    op.execute(
        "UPDATE thread SET last_outcome = "  # noqa: S608 - a constant
        f"CASE WHEN ({LAST_EVENT}) = 'busy' THEN 'busy' ELSE 'failed' END WHERE attempts > 0"
    )


def downgrade() -> None:
    op.drop_column("thread", "last_outcome")
