"""Queries the rows below a reading's beginning that no reading has seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Select,
    and_,
    column,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NullType

from janitor.config.source_query import compared_by, is_newer_alone
from janitor.sources.watermark import Unread

UNLIKE = {"sqlite": " IS NOT ", "postgresql": " IS DISTINCT FROM "}
LOWEST, HIGHEST = "-infinity", "infinity"
NOBODYS = "none"  # a text that is in no column of times


def unbound(query: str, dialect: str) -> str | None:
    """The query with a condition that every row meets, including rows without a watermark.

    `None` if the query's own condition is not a known one, or the engine has no operator for this.
    """
    other = UNLIKE.get(dialect)
    if other is None or not is_newer_alone(query, dialect):
        return None
    return compared_by(query, dialect, other)


def below(begins: object, dialect: str) -> object:
    """The value for an unbound query in place of a watermark: of its type, but no unread row's."""
    if begins == LOWEST:
        return HIGHEST  # which is above the beginning, so its rows were read
    return NOBODYS if dialect == "sqlite" or begins == "" else begins


def lowest(begins: object) -> object:
    """A low watermark of the same type, for running the query as it is."""
    match begins:
        case str() if begins != LOWEST:
            return ""
        case int() | float():
            return -1
        case _:
            return begins


def asking(
    query: str,
    columns: Sequence[str],
    watermark: str,
    begins: object,
    where: Unread | None,
    *,
    mixes: bool,
) -> Select[Any]:
    """The rows not above `begins`, or without a value, that were not read; `where=None`: all."""
    # A query may end in a comment, which ends with its line.
    rows = text(f"{query}\n").columns(*(column(one) for one in columns)).subquery("reading")
    value, top = rows.c[watermark], literal(begins, NullType())
    if where is None:
        hidden: ColumnElement[bool] = value <= top
    elif mixes:
        is_number = func.typeof(value).in_(["integer", "real"])
        is_text = func.typeof(value) == "text"
        hidden = and_(
            value <= top,
            or_(and_(is_number, _numbers(value, where)), and_(is_text, _texts(value, where))),
        )
    elif isinstance(begins, str):
        hidden = and_(value <= top, _texts(value, where))
    elif isinstance(begins, int):
        hidden = and_(value <= top, _numbers(value, where))
    else:
        hidden = false()  # the database orders every value of a time type
    return select(rows).where(or_(value.is_(None), hidden))


def _numbers(value: ColumnElement[Any], where: Unread) -> ColumnElement[bool]:
    gaps = (and_(value > low, value <= high) for low, high in where.gaps)
    return or_(value < where.least, value > where.most, *gaps)


def _texts(value: ColumnElement[Any], where: Unread) -> ColumnElement[bool]:
    read = (and_(value.like(shape), value <= high) for shape, high in where.shapes)
    return and_(true(), not_(or_(false(), *read)))
