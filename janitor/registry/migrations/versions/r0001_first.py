"""The first schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    for create in (
        _thread,
        _thread_indexes,
        _label,
        _count,
        _total,
        _hold,
        _run,
        _event,
        _approval,
        _plan,
        _meta,
        _janitor_inbox,
    ):
        create()


def _copy_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("copy_path", sa.String(), nullable=True),
        sa.Column("copy_digest", sa.String(), nullable=True),
        sa.Column("copy_sealed", sa.String(), nullable=True),
        sa.Column("copy_items", sa.Integer(), nullable=True),
        sa.Column("copy_newest_item", sa.String(), nullable=True),
        sa.Column("copy_size", sa.Integer(), nullable=True),
        sa.Column("copied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("copy_is_current", sa.Boolean(), nullable=False),
    ]


def _thread() -> None:
    op.create_table(
        "thread",
        sa.Column("project", NAME, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_active_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("upstream_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("baseline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("newest_item", sa.String(), nullable=True),
        sa.Column("alive_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("items", sa.Integer(), nullable=True),
        sa.Column("reported", sa.JSON(), nullable=True),
        sa.Column("upstream", sa.JSON(), nullable=True),
        sa.Column("reported_before", sa.JSON(), nullable=True),
        sa.Column("keep_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("review_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("policy", sa.String(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("soft_deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("spared_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("spared_by", sa.String(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_run", sa.String(), nullable=True),
        sa.Column("missing_since", sa.DateTime(timezone=True), nullable=True),
        *_copy_columns(),
        sa.Column("archive_keep_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claim_run", sa.String(), nullable=True),
        sa.Column("claim_owner", sa.String(), nullable=True),
        sa.Column("claim_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("intent_run", sa.String(), nullable=True),
        sa.Column("intent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("intent_policy", sa.String(), nullable=True),
        sa.Column("intent_alive_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("intent_access", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("project", "kind", "id", name="pk_thread"),
    )


def _thread_indexes() -> None:
    for name, columns, where in (
        ("ix_thread_claim", ["claim_run"], "claim_owner IS NOT NULL"),
        ("ix_thread_dead", ["deleted_at"], "deleted_at IS NOT NULL"),
        ("ix_thread_failing", ["project", "kind", "id"], "attempts > 0"),
        ("ix_thread_missing", ["project", "kind", "id"], "missing_since IS NOT NULL"),
        ("ix_thread_prunable", ["archive_keep_until"], "archive_keep_until IS NOT NULL"),
        (
            "ix_thread_rank",
            ["last_active_at"],
            "last_active_at IS NOT NULL AND state IN ('active', 'archived')",
        ),
        (
            "ix_thread_review",
            ["review_at", "project", "kind", "id"],
            "review_at IS NOT NULL AND state IN ('active', 'archived', 'soft_deleted')",
        ),
        (
            "ix_thread_unsettled",
            ["state", "project", "kind", "id"],
            "state IN ('deleting', 'missing')",
        ),
    ):
        condition = sa.text(where)
        op.create_index(name, "thread", columns, sqlite_where=condition, postgresql_where=condition)


def _label() -> None:
    op.create_table(
        "label",
        sa.Column("project", NAME, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("project", "kind", "id", "key", "value", name="pk_label"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_label_value", "label", ["key", "value", "project", "kind", "id"], unique=False
    )


def _count() -> None:
    op.create_table(
        "count",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("copies", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project", "kind", "state", "policy", name="pk_count"),
        sqlite_with_rowid=False,
    )


def _total() -> None:
    op.create_table(
        "total",
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("policy", "stage", "outcome", name="pk_total"),
    )


def _hold() -> None:
    op.create_table(
        "hold",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("ids", sa.JSON(), nullable=True),
        sa.Column("labels", sa.JSON(), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.String(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released_by", sa.String(), nullable=True),
        sa.Column("release_reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_hold"),
    )
    op.create_index("ix_hold_name", "hold", ["name"], unique=False)


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("policies_digest", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", sa.String(20), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=True),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tripped", sa.JSON(), nullable=True),
        sa.Column("stops", sa.JSON(), nullable=True),
        sa.Column("link", sa.Integer(), nullable=True),
        sa.Column("previous", sa.String(), nullable=True),
        sa.Column("digest", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_run"),
        sa.UniqueConstraint("id", name="uq_run_id"),
        sa.UniqueConstraint("link", name="uq_run_link"),
    )


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("stage", sa.String(20), nullable=True),
        sa.Column("outcome", sa.String(20), nullable=True),
        sa.Column("policy", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("response_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_event"),
    )
    op.create_index("ix_event_run", "event", ["run", "number"], unique=False)
    op.create_index("ix_event_thread", "event", ["id", "number"], unique=False)


def _approval() -> None:
    op.create_table(
        "approval",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("document", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_approval"),
    )


def _plan() -> None:
    op.create_table(
        "plan",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("document", sa.String(), nullable=True),
        sa.Column("max_age_seconds", sa.Float(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("handed_over_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_plan"),
    )
    waiting = sa.text("closed_at IS NULL")
    op.create_index(
        "ix_plan_waiting", "plan", ["number"], sqlite_where=waiting, postgresql_where=waiting
    )


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )


def _janitor_inbox() -> None:
    op.create_table(
        "janitor_inbox",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=True),
        sa.Column("drained_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refused", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_janitor_inbox"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_janitor_inbox_drained", "janitor_inbox", ["drained_at"], unique=False)
    op.create_index(
        "ix_janitor_inbox_undrained",
        "janitor_inbox",
        ["seq"],
        unique=False,
        sqlite_where=sa.text("drained_at IS NULL"),
        postgresql_where=sa.text("drained_at IS NULL"),
    )
