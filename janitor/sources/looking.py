"""Looks at a table of the application's own, read-only, and proposes the source that reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnClause, Connection, column, func, inspect, make_url, select
from sqlalchemy import table as table_of
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import ArgumentError, NoSuchTableError
from sqlalchemy.types import DateTime, Integer, Numeric, String, TypeEngine, Uuid

from janitor.config import Keeper, Secret, SqlSettings
from janitor.errors import ConfigError
from janitor.registry import RefusedRegistration, Registration
from janitor.sources.foreign import PAGE, Foreign
from janitor.sources.proposal import IDS, Column, Proposal, Sort, may_be_looked_into, propose
from janitor.sources.rows import check_columns, reported
from janitor.sources.stanza import Quote, is_plain, query, source_name, stanza

REFUSED = "refused: "
SAMPLED = 50
SHOWN = 5
LISTED = 20
VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
# Words for which a configuration would take a bare name for a statement that changes something.
VERBS = re.compile(
    r"insert|update|delete|merge|truncate|drop|alter|create|grant|revoke|call|into", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found: the source's name, its YAML, the guess, and rows as they would register.

    A row that would be refused is the sentence that says why. `doubts` say what the proposal would
    do wrong to the rows that it was tried on, `tried` how many these are.
    """

    source: str
    table: str
    stanza: str
    proposal: Proposal
    rows: tuple[Registration | str, ...]
    tried: int = 0
    doubts: tuple[str, ...] = ()


def settings_of(said: str, directory: Path) -> SqlSettings:
    """Where `--source` leads: `env:NAME`, or an address without a password.

    Raises:
        ConfigError: It holds a password, which others would see, or is no address.
    """
    if found := VARIABLE.fullmatch(said):
        return _sql(Secret(Keeper.ENV, found[1]), directory)
    try:
        url = make_url(said)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "--source is no database's address: write env:NAME, or for example "
            "sqlite:///app.db, postgresql+psycopg://user@host/database"
        ) from None
    if url.password or any("pass" in key.lower() for key in url.query):
        raise ConfigError(
            "--source holds a password, which everybody on this machine sees in `ps` and the "
            "shell keeps in its history: put the whole address into an environment variable, say "
            "APP_DATABASE_URL, and write --source env:APP_DATABASE_URL"
        )
    if url.get_backend_name() == "sqlite":
        # The configuration takes a relative file from its own directory, not from this one.
        url = url.set(database=str((directory / (url.database or "")).resolve()))
    bare = url._replace(password=None)  # an empty one is none
    return _sql(bare.render_as_string(hide_password=False), directory)


def _sql(url: Secret | str, directory: Path) -> SqlSettings:
    return SqlSettings(url, "", None, timedelta(minutes=10), timedelta(seconds=60), directory)


def look(sql: SqlSettings, table: str, projects: tuple[str, ...] = ("main",)) -> Looked:
    """Propose a source over a table, and the first rows that it would register.

    Raises:
        ConfigError: There is no such table, or nothing in it seems to be an id.
        AccessError: The database cannot be read.
    """
    if not is_plain(table):
        raise ConfigError(f"--table {table!r}: only plain names are taken: TABLE or SCHEMA.TABLE")
    foreign = Foreign(table, sql)
    with foreign.look() as connection:
        columns = _columns(connection, table)
        quote = _quoting(connection)
        proposal = propose(table, columns)
        there = _there(connection, table, proposal.id.name)
    watermark = None if proposal.watermark is None else proposal.watermark.name
    asked = replace(sql, query=query(proposal, table, quote), watermark=watermark)
    rows = _rows(Foreign(table, asked), watermark, projects)
    return Looked(
        source_name(table),
        table,
        stanza(proposal, table, sql.url, quote),
        proposal,
        rows[:SHOWN],
        len(rows),
        (*_doubts(rows), *_left_out(there, len(rows), watermark)),
    )


def _left_out(there: int, tried: int, watermark: str | None) -> Iterator[str]:
    """That the query passes over rows: a time without a beginning stands before all others."""
    if there > tried:
        told = f"{there - tried} of the first {there} rows are passed over by the query: what their"
        yield f"{told} `{watermark}` holds, such as -infinity, stands before every time"


def _there(connection: Connection, table: str, id: str) -> int:
    """How many rows with an id there are, as far as a page reaches."""
    schema, _, name = table.rpartition(".")
    named: ColumnClause[Any] = column(id)
    rows = select(named).select_from(table_of(name, schema=schema or None))
    page = rows.where(named.is_not(None)).limit(PAGE).subquery()
    return int(connection.scalar(select(func.count()).select_from(page)) or 0)


def _doubts(rows: Sequence[Registration | str]) -> Iterator[str]:
    """What is refused of these rows, and which times are not taken as they were said."""
    tried = f"of the first {len(rows)} rows"
    numbered = ((number, row) for number, row in enumerate(rows, 1) if isinstance(row, str))
    refused = {number: row.removeprefix(REFUSED) for number, row in numbered}
    if refused:
        first = {why: number for number, why in reversed(refused.items())}
        earliest = sorted((number, why) for why, number in first.items())[:SHOWN]
        named = "; ".join(f"row {number}: {why}" for number, why in earliest)
        yield f"{len(refused)} {tried} would be refused, such as {named}"
    odd = [row for row in rows if isinstance(row, Registration) and row.remarks]
    if odd:
        named = ", ".join(odd[0].remarks)
        yield f"{len(odd)} {tried} name a time not taken as it was said, such as {named}"


def _columns(connection: Connection, table: str) -> list[Column]:
    schema, _, name = table.rpartition(".")
    inspector = inspect(connection)
    try:
        found = inspector.get_columns(name, schema or None)
    except NoSuchTableError:
        names = [
            *inspector.get_table_names(schema or None),
            *inspector.get_view_names(schema or None),
        ]
        known = ", ".join(sorted(names)[:LISTED]) or "none"
        raise ConfigError(f"--table {table}: there is no such table; known: {known}") from None
    sorts = {one["name"]: _sort(one["type"]) for one in found}
    asked = [name for name, sort in sorts.items() if may_be_looked_into(name, sort)]
    samples = _samples(connection, table, asked)
    for name in asked:
        if not samples[name] and Column(name, sorts[name]).spelled in IDS:  # only null so far
            samples |= _samples(connection, table, [name], null=False)
    return [_column(one, sorts[one["name"]], samples.get(one["name"], ())) for one in found]


def _column(found: ReflectedColumn, sort: Sort, samples: Sequence[object]) -> Column:
    return Column(found["name"], sort, bool(found.get("nullable", True)), tuple(samples))


def _sort(type: TypeEngine[Any]) -> Sort:
    match type:
        case DateTime():
            return Sort.TIME
        case String() | Uuid():
            return Sort.TEXT
        case Integer() | Numeric():
            return Sort.NUMBER
        case _:
            return Sort.OTHER


def _samples(
    connection: Connection, table: str, names: Sequence[str], *, null: bool = True
) -> dict[str, list[object]]:
    """Values of some columns, of the first rows that there are; `null` rows among them or not."""
    schema, _, name = table.rpartition(".")
    if not names:
        return {}
    columns: list[ColumnClause[Any]] = [column(one) for one in names]
    read = select(*columns).select_from(table_of(name, schema=schema or None))
    if not null:
        read = read.where(*(one.is_not(None) for one in columns))
    rows = [dict(row._mapping) for row in connection.execute(read.limit(SAMPLED))]
    return {name: [row[name] for row in rows if row[name] is not None] for name in names}


def _quoting(connection: Connection) -> Quote:
    preparer = connection.dialect.identifier_preparer

    def quote(name: str) -> str:
        return preparer.quote_identifier(name) if VERBS.fullmatch(name) else preparer.quote(name)

    return quote


def _rows(
    foreign: Foreign, watermark: str | None, projects: tuple[str, ...]
) -> tuple[Registration | str, ...]:
    tries = foreign.beginning if watermark is not None else (None,)
    with foreign.read(lambda _: tries) as reading:
        check_columns(reading.columns, watermark)
        first = next(iter(reading.pages), ())
        return tuple(_row(row, projects) for row in first)


def _row(row: Mapping[str, Any], projects: tuple[str, ...]) -> Registration | str:
    try:
        return reported(row, projects[0], projects)
    except (ValueError, RefusedRegistration) as error:
        return f"{REFUSED}{error}"
