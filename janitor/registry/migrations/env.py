"""Runs migrations on the connection, and in the transaction, that the registry hands in."""

from __future__ import annotations

from alembic import context

from janitor.registry.migrate import VERSION_TABLE
from janitor.registry.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
