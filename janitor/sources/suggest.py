"""Proposes a source for a table of the application's database, as YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnClause, Connection, column, func, inspect, make_url, select
from sqlalchemy import table as table_of
from sqlalchemy.exc import ArgumentError, NoSuchTableError
from sqlalchemy.types import DateTime, Integer, Numeric, String, TypeEngine, Uuid

from janitor.addresses import NUL, holds_nul
from janitor.config import Keeper, Secret, SqlSettings
from janitor.config.source_query import CHANGES
from janitor.errors import ConfigError
from janitor.registry import RefusedRegistration, Registration
from janitor.sources.sql_reader import PAGE, Foreign, check_columns, reported
from janitor.sources.suggest_columns import (
    IDS,
    PLAIN,
    Column,
    Sort,
    SourceProposal,
    may_be_looked_into,
    propose,
)
from janitor.texts import counted

Quote = Callable[[str], str]
NOT_OF_A_NAME = re.compile(r"[^a-z0-9_-]+")


def source_name(table: str) -> str:
    """The name of a source for a table: the table's name, as a configuration accepts it."""
    name = NOT_OF_A_NAME.sub("-", table.rpartition(".")[2].lower())
    return name.strip("-_") or "chats"


def query(proposal: SourceProposal, table: str, quote: Quote) -> str:
    """The SELECT, in several lines; `quote` writes a name as the database needs it."""
    named = [_read(one, to, proposal, quote) for to, one in proposal.read]
    if proposal.literal_kind is not None:
        named.insert(1, f"'{proposal.literal_kind}' AS kind")
    lines = ["SELECT " + ",\n  ".join(named), f"FROM {'.'.join(map(quote, table.split('.')))}"]
    if clauses := list(_clauses(proposal, quote)):
        lines.append("WHERE " + "\n  AND ".join(clauses))
    return "\n".join(lines)


def _clauses(proposal: SourceProposal, quote: Quote) -> Iterator[str]:
    if proposal.id.nullable:  # a chat without a conversation yet
        yield f"{quote(proposal.id.name)} IS NOT NULL"
    if proposal.watermark is not None:
        column = quote(proposal.watermark.name)
        newer = f"{column} > :watermark"
        # A row that never changed may have no time here: it is read each time, and not missed.
        yield f"({newer} OR {column} IS NULL)" if proposal.watermark.nullable else newer


def _instead(proposal: SourceProposal, quote: Quote) -> Iterator[str]:
    """What could be read instead, as it would be written in the query or the configuration."""
    for to, one in proposal.others:
        other = f"watermark: {one.name}" if to is None else f"{quote(one.name)} AS {quote(to)}"
        yield f"or: {other}"


def _read(column: Column, to: str, proposal: SourceProposal, quote: Quote) -> str:
    text = quote(column.name)
    if column.is_padded and column is not proposal.watermark:
        return f"trim({text}) AS {quote(to)}"
    return text if column.name == to else f"{text} AS {quote(to)}"


def stanza(proposal: SourceProposal, table: str, url: Secret | str, quote: Quote) -> str:
    """`sources:` with one source and comments; for a secret address, where it is kept."""
    address = json.dumps(url) if isinstance(url, str) else f"{{{url.keeper}: {url.name}}}"
    comments = (*proposal.notes, *_instead(proposal, quote))
    notes = "".join(f"      # {comment}\n" for comment in comments)
    lines = "".join(f"        {line}\n" for line in query(proposal, table, quote).splitlines())
    watermark = "null" if proposal.watermark is None else proposal.watermark.name
    return (
        "sources:\n"
        f"  {source_name(table)}:\n"
        "    sql:\n"
        f"      url: {address}\n"
        f"{notes}"
        "      query: |\n"
        f"{lines}"
        f"      watermark: {watermark}\n"
        "      overlap: 10m                 # longer than any transaction of the application\n"
        "      timeout: 60s                 # of one statement\n"
        "    on_vanish: keep                # or {expire_after: 30d}\n"
    )


def is_plain(table: str) -> bool:
    """Whether a table's name, with or without its schema, can be used in a proposal."""
    schema, dot, name = table.rpartition(".")
    return all(PLAIN.fullmatch(part) for part in ([schema, name] if dot else [name]))


REFUSED = "refused: "
SAMPLED = 50
SHOWN = 5
LISTED = 20
VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found: the source's name, its YAML, the guess, and rows as they would register.

    A row that would be refused is a sentence that says why. `doubts` are what the proposal would
    get wrong in the rows that it was tried on, and `tried` is the number of these.
    """

    source: str
    table: str
    stanza: str
    proposal: SourceProposal
    rows: tuple[Registration | str, ...]
    tried: int = 0
    doubts: tuple[str, ...] = ()


def settings_of(text: str, directory: Path) -> SqlSettings:
    """The database that `--source` names: `env:NAME`, or an address without a password.

    Raises:
        ConfigError: It holds a password, which others would see, or is not an address.
    """
    if found := VARIABLE.fullmatch(text):
        return _sql(Secret(Keeper.ENV, found[1]), directory)
    if holds_nul(text):
        raise ConfigError(f"--source {NUL}")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "--source is not a database address: write env:NAME, or for example "
            "sqlite:///app.db, postgresql+psycopg://user@host/database"
        ) from None
    if url.password or any("pass" in key.lower() for key in url.query):
        raise ConfigError(
            "--source contains a password, which `ps` shows to everybody on this machine and the "
            "shell keeps in its history: put the whole address into an environment variable such "
            "as APP_DATABASE_URL, and write --source env:APP_DATABASE_URL"
        )
    if url.get_backend_name() == "sqlite":
        # The configuration resolves a relative file from its own directory, not from this one.
        url = url.set(database=str((directory / (url.database or "")).resolve()))
    bare = url._replace(password=None)  # an empty password is none
    return _sql(bare.render_as_string(hide_password=False), directory)


def _sql(url: Secret | str, directory: Path) -> SqlSettings:
    return SqlSettings(url, "", None, timedelta(minutes=10), timedelta(seconds=60), directory)


def look(sql: SqlSettings, table: str, projects: tuple[str, ...] = ("main",)) -> Looked:
    """Propose a source for a table, with the first rows that it would register.

    Raises:
        ConfigError: There is no such table, or nothing in it seems to be an id.
        AccessError: The database cannot be read.
    """
    if not is_plain(table):
        raise ConfigError(f"--table {table!r}: only plain names are allowed: TABLE or SCHEMA.TABLE")
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
    """A warning if the query skips rows, as with -infinity, which sorts before every other time."""
    if there > tried:
        told = f"the query skips {there - tried} of the first {counted(there, 'row')}"
        yield f"{told}: what their `{watermark}` holds, such as -infinity, sorts before every time"


def _there(connection: Connection, table: str, id: str) -> int:
    """How many rows with an id there are, up to one page."""
    schema, _, name = table.rpartition(".")
    named: ColumnClause[Any] = column(id)
    rows = select(named).select_from(table_of(name, schema=schema or None))
    page = rows.where(named.is_not(None)).limit(PAGE).subquery()
    return int(connection.scalar(select(func.count()).select_from(page)) or 0)


def _doubts(rows: Sequence[Registration | str]) -> Iterator[str]:
    """Which of these rows are refused, and which have a time that is not used as written."""
    tried = f"of the first {counted(len(rows), 'row')}"
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
        yield f"{len(odd)} {tried} name a time that is not taken as written, such as {named}"


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
        raise ConfigError(f"--table {table}: no such table; known: {known}") from None
    sorts = {one["name"]: _sort(one["type"]) for one in found}
    asked = [name for name, sort in sorts.items() if may_be_looked_into(name, sort)]
    samples = _samples(connection, table, asked)
    nulls = {name: values.count(None) for name, values in samples.items()}
    for name in asked:
        if _is_empty(samples[name]) and Column(name, sorts[name]).spelled in IDS:  # null so far
            samples |= _samples(connection, table, [name], null=False)
    return [
        Column(
            one["name"],
            sorts[one["name"]],
            bool(one.get("nullable", True)),
            tuple(value for value in samples.get(one["name"], ()) if value is not None),
            nulls.get(one["name"], 0),
        )
        for one in found
    ]


def _is_empty(values: Sequence[object]) -> bool:
    return all(value is None for value in values)


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
    """Values of some columns in the first rows; without `null`, in the first rows without nulls."""
    schema, _, name = table.rpartition(".")
    if not names:
        return {}
    columns: list[ColumnClause[Any]] = [column(one) for one in names]
    read = select(*columns).select_from(table_of(name, schema=schema or None))
    if not null:
        read = read.where(*(one.is_not(None) for one in columns))
    rows = [dict(row._mapping) for row in connection.execute(read.limit(SAMPLED))]
    return {name: [row[name] for row in rows] for name in names}


def _quoting(connection: Connection) -> Quote:
    preparer = connection.dialect.identifier_preparer

    def quote(name: str) -> str:
        # A bare word such as `merge` may count as a statement where sqlglot cannot parse the query.
        return preparer.quote_identifier(name) if name.upper() in CHANGES else preparer.quote(name)

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
