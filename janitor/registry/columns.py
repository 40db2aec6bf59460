"""How columns and indexes are spelled, the same on both engines."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Enum, Index, String, text
from sqlmodel import Field

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
}


def partial(name: str, *columns: str, where: str) -> Index:
    """An index over the rows that a condition holds for, on both engines."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


def by_value(enum: type[StrEnum]) -> Enum:
    """An enum stored as its value, so that renaming a member changes no row."""
    return Enum(
        enum,
        native_enum=False,
        length=20,
        values_callable=lambda members: [member.value for member in members],
    )


# Pages follow the order of keys, and ties are broken by it: the same order on both engines.
NAME = String().with_variant(String(collation="C"), "postgresql")


def json() -> Any:  # noqa: ANN401  what a field holds is said by its annotation
    """A column of JSON in which `None` is NULL."""
    return Field(default=None, sa_type=JSON(none_as_null=True))
