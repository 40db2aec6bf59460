"""Statements for many rows, compiled once for each engine and given to its driver as they are.

SQLAlchemy converts the values of each row by itself, which takes longer than SQLite takes to store
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Insert, Update, bindparam, select
from sqlalchemy.sql.compiler import SQLCompiler

from janitor.model import Kind
from janitor.registry.tables import THREAD

Convert = Callable[[Any], Any]


class Compiled(NamedTuple):
    """A statement as the driver takes it, its parameters in order, and what converts them."""

    text: str
    order: tuple[str, ...]
    is_positional: bool
    converts: Mapping[str, Convert]

    def parameters(self, rows: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Rows of values in the order of the parameters, as the driver takes them."""
        if self.is_positional:
            return list(rows)
        return [dict(zip(self.order, row, strict=True)) for row in rows]


class Prepared:
    """An insert or update for many rows of values, one for each of the named parameters.

    It writes what `connection.execute(statement, rows)` writes. Columns with a default must be
    named; the other columns of an insert are NULL.
    """

    def __init__(self, statement: Insert | Update, *names: str) -> None:
        self._statement = statement
        self._names = names

    def execute(
        self, connection: Connection, rows: Iterable[Sequence[Any]], **same: object
    ) -> None:
        """Write rows of values, in the order of the names; `same` are those of every row."""
        found = [*zip(*rows, strict=True)]
        if not found:
            return
        columns: dict[str, Iterable[Any]] = dict(zip(self._names, found, strict=True))
        compiled = _write(self._statement, (*self._names, *same), connection.dialect)
        for name, convert in compiled.converts.items():
            if name in same:
                same[name] = convert(same[name])
            else:
                columns[name] = map(convert, columns[name])
        columns |= {name: repeat(value) for name, value in same.items()}
        # The columns end; what is repeated does not.
        values = zip(*(columns[name] for name in compiled.order), strict=False)
        connection.exec_driver_sql(compiled.text, compiled.parameters(values))


@lru_cache(16)
def _write(statement: Insert | Update, names: tuple[str, ...], dialect: Dialect) -> Compiled:
    columns = names if isinstance(statement, Insert) else None
    return _of(statement.compile(dialect=dialect, column_keys=columns))


LOOK_UP = 500
"""How many ids `registered` looks up at once."""


def registered(connection: Connection, project: str, kind: Kind, ids: Sequence[str]) -> list[str]:
    """Which of at most `LOOK_UP` ids, at least one, are in the registry."""
    compiled = _look_up(connection.dialect)
    values: list[Any] = [project, kind, *ids, *repeat(ids[-1], LOOK_UP - len(ids))]
    for n, name in enumerate(compiled.order[:2]):
        if name in compiled.converts:
            values[n] = compiled.converts[name](values[n])
    [parameters] = compiled.parameters([tuple(values)])
    found = connection.exec_driver_sql(compiled.text, parameters)
    return list(found.scalars())


@lru_cache(4)
def _look_up(dialect: Dialect) -> Compiled:
    ids = THREAD.c.id.in_([bindparam(f"id_{n}") for n in range(LOOK_UP)])
    place = (THREAD.c.project == bindparam("project"), THREAD.c.kind == bindparam("kind"))
    return _of(select(THREAD.c.id).where(*place, ids).compile(dialect=dialect))


def _of(compiled: SQLCompiler) -> Compiled:
    dialect, order = compiled.dialect, compiled.positiontup or compiled.binds
    found = {
        name: bound.type.dialect_impl(dialect).bind_processor(dialect)
        for name, bound in compiled.binds.items()
    }
    converts = {name: convert for name, convert in found.items() if convert is not None}
    return Compiled(str(compiled), tuple(order), compiled.positional, converts)
