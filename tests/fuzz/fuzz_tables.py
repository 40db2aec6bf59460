"""Hostile rows: of the inbox and of an application's own table, in both engines."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from fuzz_values import DOCUMENTS, NUMBERS, SECRET, TIMES, Draw
from postgres import Server

AGE = "2026-01-02 03:04:05"
SECONDS = "1767323045"
NAMED = ("id", "project", "kind")
"""Columns whose values a message may name: they are no secret, and a person looks for them."""

Literal = tuple[str, object]
Row = Mapping[str, Literal]
Hostile = Callable[[Draw, str], Literal]
Put = Callable[[str, list[object]], bool]

INBOX = {
    "project": "main",
    "kind": "conversation",
    "v": "1",
    "event": "register",
    "at": AGE,
    "id": "",
    "created_at": AGE,
    "metadata": '{"plan":"trial"}',
    "keep_until": None,
}
INBOX_TYPES = {
    "v": "integer",
    "at": "timestamptz",
    "created_at": "timestamptz",
    "keep_until": "timestamptz",
    "metadata": "json",
}
CHATS = {
    "id": "",
    "kind": "conversation",
    "created_at": AGE,
    "last_active_at": AGE,
    "keep_until": None,
    "plan": "trial",
    "note": None,
    "updated_at": AGE,
}
QUERY = (
    'SELECT id, kind, created_at, last_active_at, keep_until, plan AS "metadata.plan", '
    'note AS "metadata.note", updated_at FROM chats WHERE updated_at > :watermark'
)
TIMED = ["timestamptz", "timestamp", "date", "text", "bigint", "numeric", "double precision"]
MARKED = ["timestamptz", "timestamp", "text", "bigint"]
SECONDED = {"bigint", "numeric", "double precision"}
LITERALS = {
    "timestamptz": TIMES,
    "timestamp": TIMES,
    "date": [*TIMES, "5874897-12-31"],
    "bigint": [str(one) for one in NUMBERS if isinstance(one, int)],
    "numeric": ["NaN", "Infinity", "-Infinity", "1e1000", "-1e1000", "0.1", "1769817600.5"],
    "double precision": ["NaN", "Infinity", "-Infinity", "1e308", "5e-324", "1769817600.5"],
    "json": DOCUMENTS,
    "jsonb": DOCUMENTS,
    "bytea": ["\\xff00", "\\x", "\\x" + SECRET.encode().hex()],
    "interval": ["178000000 years", "-178000000 years", "1 year -3 days 04:05:06.7", "0"],
    "time": ["24:00:00", "23:59:60"],
    "timetz": ["24:00:00-15:59", "00:00:00+15:59"],
    "uuid": ["00000000-0000-0000-0000-000000000000"],
    "inet": ["::/0", "255.255.255.255/32"],
    "integer[]": ["{}", "{1,NULL}", "{{1},{2}}", "[5:6]={1,2}"],
    "text[]": ['{"' + SECRET + '","\\"}"}', "{NULL}"],
    "money": ["-92233720368547758.08"],
    "point": ["(1e308,NaN)"],
    "tsvector": [SECRET],
    "daterange": ["(,)", "empty", "[infinity,)"],
    "bit varying": ["101", ""],
    "boolean": ["t", "f"],
}
SETTINGS = [
    *("datestyle = 'SQL, DMY'", "datestyle = 'German'", "datestyle = 'Postgres, MDY'"),
    *("timezone = 'Pacific/Kiritimati'", "timezone = 'Asia/Kathmandu'", "timezone = 'UTC'"),
    *("intervalstyle = 'sql_standard'", "bytea_output = 'escape'", "extra_float_digits = -15"),
    *("client_encoding = 'LATIN1'", "standard_conforming_strings = off", "lc_monetary = 'C'"),
]


def _drawn(draw: Draw, column: str) -> str:
    """A text for a column; without what must not be shown where it may be."""
    if column in NAMED:
        return draw.text().replace(SECRET, "x")
    if column in ("at", "updated_at", "created_at", "last_active_at", "keep_until"):
        return draw.time()
    return draw.document() if column == "metadata" else draw.text()


def in_sqlite(draw: Draw, column: str) -> Literal:
    """Anything that a column of SQLite takes, whatever its type."""
    if draw.chance(10):
        return "?", None
    if draw.chance(15):
        number = draw.one(NUMBERS)
        return "?", number
    if draw.chance(40):
        spoilt = draw.bytes().replace(SECRET.encode(), b"x") if column in NAMED else draw.bytes()
        return draw.one(["?", "CAST(? AS TEXT)"]), spoilt
    return "CAST(? AS TEXT)", _drawn(draw, column).encode("utf-8", "surrogatepass")


def in_postgresql(types: Mapping[str, str], *, plain: bool = False) -> Hostile:
    """Anything that a column of its type takes; `plain`: the database knows no encoding."""

    def hostile(draw: Draw, column: str) -> Literal:
        sort = types.get(column, "text")
        if draw.chance(10):
            return "%s", None
        if plain and sort == "text" and draw.chance(60):
            spoilt = draw.bytes().replace(b"\0", b"").replace(SECRET.encode(), b"x")[:1000]
            escaped = "".join(f"\\x{byte:02x}" for byte in spoilt)
            return f"E'{escaped}'", ...
        literals = LITERALS.get(sort)
        said = draw.one(literals) if literals and draw.chance(85) else _drawn(draw, column)
        return f"%s::{sort}", said

    return hostile


@dataclass(frozen=True, slots=True)
class Table:
    """A table that hostile rows go into; whatever the engine itself refuses is no row."""

    name: str
    good: Mapping[str, str | None]
    hostile: Hostile
    session: Callable[[], AbstractContextManager[Put]]
    mark: str

    def fill(self, draw: Draw, number: int, good: str) -> int:
        """Put in hostile rows, and a good one of that id amid them; how many the engine took."""
        spot = draw.number(0, number)
        taken = 0
        with self.session() as put:
            for place in range(number + 1):
                if place == spot:
                    put(*self._statement({}, good))
                bad = {name: self.hostile(draw, name) for name in draw.some(sorted(self.good))}
                taken += put(*self._statement(bad, f"conv_hostile_{place}"))
        return taken

    def _statement(self, bad: Row, id: str) -> tuple[str, list[object]]:
        row: dict[str, Literal] = {name: (self.mark, value) for name, value in self.good.items()}
        row = row | {"id": (self.mark, id)} | dict(bad)
        fragments = ", ".join(fragment for fragment, _ in row.values())
        values = [value for _, value in row.values() if value is not ...]
        statement = f"INSERT INTO {self.name} ({', '.join(row)}) VALUES ({fragments})"  # noqa: S608
        return statement, values


def sqlite_table(path: Path, name: str, good: Mapping[str, str | None]) -> Table:
    """A table of a file."""

    @contextmanager
    def session() -> Iterator[Put]:
        with closing(sqlite3.connect(path)) as connection, connection:

            def put(statement: str, values: list[object]) -> bool:
                try:
                    connection.execute(statement, values)
                except (sqlite3.Error, OverflowError):
                    return False
                return True

            yield put

    return Table(name, good, in_sqlite, session, "?")


def postgres_table(
    server: Server, database: str, name: str, good: Mapping[str, str | None], hostile: Hostile
) -> Table:
    """A table of a database on a server."""

    @contextmanager
    def session() -> Iterator[Put]:
        target = f"{server.admin} dbname={database} client_encoding=UTF8"
        with psycopg.connect(target, autocommit=True) as connection:
            connection.execute("SET datestyle = ISO")

            def put(statement: str, values: list[object]) -> bool:
                try:
                    connection.execute(statement.encode(), values)
                except (psycopg.Error, UnicodeEncodeError):
                    return False
                return True

            yield put

    return Table(name, good, hostile, session, "%s")


def chats_in_sqlite(path: Path) -> Table:
    """An application's table in a file, whose columns take everything."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE chats ({', '.join(CHATS)})")
    return sqlite_table(path, "chats", CHATS)


def chats_in_postgresql(draw: Draw, server: Server, database: str, *, plain: bool) -> Table:
    """An application's table in an empty database, of types and settings that are drawn."""
    times = {name: draw.one(TIMED) for name in ("created_at", "last_active_at", "keep_until")}
    other = sorted({*LITERALS, "text"})
    types = {"id": "text", "kind": "text", "plan": "text", "note": draw.one(other), **times}
    types["updated_at"] = draw.one(MARKED)
    columns = ", ".join(f"{name} {sort}" for name, sort in types.items())
    server.execute(f"CREATE TABLE chats ({columns})", database)
    for setting in draw.some(SETTINGS) if draw.chance(70) else ():
        server.execute(f"ALTER DATABASE {database} SET {setting}")
    good = {
        name: SECONDS if value == AGE and types[name] in SECONDED else value
        for name, value in CHATS.items()
    }
    return postgres_table(server, database, "chats", good, in_postgresql(types, plain=plain))
