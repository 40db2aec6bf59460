"""What earlier programs wrote, as it lies in tests/fixtures, and the world they wrote it in."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psycopg
from postgres import Server
from sqlalchemy import create_engine, inspect, text
from world import KEY, KEY_VARIABLE, World

from janitor.emulator import Emulator
from janitor.kinds import Kind

FIXTURES = Path(__file__).parents[2] / "fixtures"
EARLY, TODAY = "069d9ca", "0.1.0"
SEED = 11  # item ids are made from it
GONE = ("conv_deleted", "conv_last_old", "conv_missing")
EDITED = {"conv_spared": {"plan": "trial"}}
FED = ("conv_fed", "conv_fed0", "conv_fed1", "conv_fed2", "conv_fed3")

Rows = dict[str, list[dict[str, Any]]]


def said(version: str, name: str) -> str:
    """A fixture's text, packed or not."""
    path = FIXTURES / version / name
    if path.exists():
        return path.read_text(encoding="utf-8")
    return gzip.decompress(path.with_name(f"{name}.gz").read_bytes()).decode()


def made_at(version: str, engine: str) -> datetime:
    """The moment from which the ages of a registry's threads count."""
    return datetime.fromisoformat(json.loads(said(version, "made_at.json"))[engine])


def hours(value: object, since: datetime) -> object:
    """The value with each time in it as whole hours since then, to compare two like worlds."""
    if isinstance(value, dict):
        return {name: hours(one, since) for name, one in value.items()}
    if isinstance(value, list):
        return [hours(one, since) for one in value]
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    return value if at is None else round((at - since) / timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Written:
    """A registry of an earlier program in a world of today."""

    version: str
    engine: str
    url: str
    world: World

    @property
    def made_at(self) -> datetime:
        return made_at(self.version, self.engine)

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - what JSON says
        """What a command prints as JSON."""
        done = self.world.run("--output", "json", *arguments)
        assert done.code == 0, done.err
        return done.document


def rows_of(url: str) -> Rows:
    """Every row of every table, as the engine has them."""
    engine = create_engine(url)
    with closing(engine.connect()) as connection:
        names = inspect(connection).get_table_names()
        found = {
            name: connection.execute(text(f'SELECT * FROM "{name}"')).mappings().all()  # noqa: S608
            for name in names
        }
    engine.dispose()
    return {name: [dict(row) for row in rows] for name, rows in found.items()}


@contextmanager
def world_of(directory: Path, version: str, engine: str, url: str) -> Iterator[World]:
    """The server as it stood, the application's table and the configuration."""
    emulator = Emulator({KEY: "main"}, seed=SEED)
    _fill(emulator, made_at(version, engine))
    with emulator.serve() as served:
        for name in GONE:
            _delete(served.base_url, name)
        emulator.clear_log()
        made = World(directory, emulator, served.base_url, {KEY_VARIABLE: KEY})
        text = (FIXTURES / "janitor.yaml").read_text(encoding="utf-8")
        made.config.write_text(text.replace("REGISTRY", url).replace("BASE_URL", served.base_url))
        _chats(directory / "application.db", made_at(version, engine))
        shutil.copytree(FIXTURES / EARLY / "archive", made.archive)
        (made.archive / ".incoming").mkdir()  # empty, and so nothing that git keeps
        yield made


def _fill(emulator: Emulator, now: datetime) -> None:
    for kind, name, age, metadata, items in json.loads((FIXTURES / "server.json").read_text()):
        at = now - timedelta(days=age)
        known: dict[str, Any] = {"id": name, "created_at": at, "items": items}
        if kind != "chatkit_thread":
            known["metadata"] = EDITED.get(name, metadata)
        if kind != "conversation":
            known["last_active_at"] = at + timedelta(days=1)
        emulator.add(Kind(kind), **known)


def _delete(base_url: str, id: str) -> None:
    call = Request(f"{base_url}/conversations/{id}", method="DELETE")  # noqa: S310 - the emulator's
    call.add_header("Authorization", f"Bearer {KEY}")
    with urlopen(call) as answer:  # noqa: S310
        assert answer.status == 200


def _chats(path: Path, now: datetime) -> None:
    at = (now - timedelta(days=90)).isoformat()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE chats (id, kind, created_at, last_active_at, plan, updated_at)"
        )
        rows = [(name, "conversation", at, at, "fed", at) for name in FED]
        connection.executemany("INSERT INTO chats VALUES (?, ?, ?, ?, ?, ?)", rows)


def fill_sqlite(version: str, path: Path) -> None:
    """A registry file from what was dumped of it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(said(version, "sqlite.sql"))


def unpack_file(version: str, path: Path) -> None:
    """A registry file as it was, byte for byte."""
    path.write_bytes(gzip.decompress((FIXTURES / version / "janitor.db.gz").read_bytes()))


def fill_postgresql(version: str, server: Server, database: str) -> None:
    """A registry from its dump."""
    with psycopg.connect(f"{server.admin} dbname={database}", autocommit=True) as connection:
        connection.execute(said(version, "postgresql.sql").encode())


def move_archive(url: str, directory: Path) -> None:
    """Tell the registry where its archive lies by now, as an operator would who moved both."""
    engine = create_engine(url)
    with engine.begin() as connection:
        moved = {"url": f"file://{directory}"}
        connection.execute(text("UPDATE meta SET value = :url WHERE key = 'archive_url'"), moved)
    engine.dispose()
