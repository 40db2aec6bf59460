"""The key that plans are signed with, so that only this registry's own plans are carried out."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

META = sa.table("meta", sa.column("key", sa.String()), sa.column("value", sa.String()))
NAME = "plan_key"
BYTES = 32


def upgrade() -> None:
    op.execute(sa.insert(META).values(key=NAME, value=secrets.token_hex(BYTES)))


def downgrade() -> None:
    op.execute(sa.delete(META).where(META.c.key == NAME))
