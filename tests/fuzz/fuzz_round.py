"""One round: a world in which everything that enters is hostile, and what must hold all the same.

A sweep takes in an inbox, reads a source and asks a server, each full of values that no program
foresees. One good thread stands amid each, and one good source beside the hostile one. All of them
must be deleted by that very sweep, no command may end in a traceback, and none may show a value.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import fuzz_tables
from fuzz_answers import Site
from fuzz_tables import AGE, CHATS, INBOX, QUERY, Table, postgres_table, sqlite_table
from fuzz_values import SECRET, Draw
from postgres import Server
from world import KEY, KEY_VARIABLE, World

from janitor.emulator import Emulator
from janitor.kinds import CATALOGUE
from janitor.registry import Registry

ENGINES = ("sqlite", "postgresql")
DOCTORED = (0, 1, 3)
"""A hostile server may well be told of by doctor; how it ends is not this suite's matter."""
OLD = datetime.fromisoformat(f"{AGE}+00:00")
POLICIES = """\
  - name: trials
    match: {metadata: {plan: trial}}
    archive: {after: 7d}
    delete: {after: 30d}
"""
SOURCES = """\
sources:
  hostile:
    sql: {{url: {{env: HOSTILE_URL}}, watermark: updated_at, overlap: 10m, query: '{query}'}}
  harmless:
    sql: {{url: {{env: HARMLESS_URL}}, watermark: updated_at, overlap: 10m, query: '{query}'}}
"""
KINDS = {trait.path.removeprefix("/"): str(kind) for kind, trait in CATALOGUE.items()}
UNFORESEEN = re.compile(r"Traceback|unexpected\s+(?!answer\b)")
"""What a command says of an error that nobody foresaw, as a table may wrap it."""
LIMITS = "limits: {max_percent: 100, max_missing_percent: 100, max_errors: 100000}"


class BrokenError(AssertionError):
    """Something did not hold; the message says how to play that round again."""


@dataclass
class Count:
    """What was played so far."""

    rounds: int = 0
    inbox: int = 0
    source: int = 0
    answers: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.rounds + other.rounds,
            self.inbox + other.inbox,
            self.source + other.source,
            self.answers + other.answers,
        )

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds, {self.inbox} rows of the inbox, {self.source} rows of sources, "
            f"{self.answers} answers"
        )


@dataclass
class Ground:
    """What all rounds share: an emulator, PostgreSQL, and an empty registry of each engine."""

    emulator: Emulator
    base_url: str
    server: Server
    file: Path
    database: str

    def registry(self, engine: str, world: World, stack: ExitStack) -> Table:
        """A new registry, which the world is configured for, and its inbox."""
        if engine == "sqlite":
            shutil.copy(self.file, world.registry)
            return sqlite_table(world.registry, "janitor_inbox", INBOX)
        name = stack.enter_context(self._copied())
        _edit(world, f"sqlite:///{world.registry.name}", self.server.url(name))
        hostile = fuzz_tables.in_postgresql(fuzz_tables.INBOX_TYPES)
        return postgres_table(self.server, name, "janitor_inbox", INBOX, hostile)

    @contextmanager
    def _copied(self) -> Iterator[str]:
        with self.server.database() as name:
            self.server.execute(f"DROP DATABASE {name}")
            self.server.execute(f"CREATE DATABASE {name} TEMPLATE {self.database}")
            yield name

    def source(self, draw: Draw, engine: str, world: World, stack: ExitStack) -> Table:
        """An application's database with an empty table of chats, as the source `hostile`."""
        if engine == "sqlite":
            path = world.directory / "hostile.db"
            world.environment["HOSTILE_URL"] = f"sqlite:///{path}"
            return fuzz_tables.chats_in_sqlite(path)
        name = stack.enter_context(self.server.database())
        plain = draw.chance(30)
        if plain:
            self.server.execute(f"DROP DATABASE {name}")
            how = "ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
            self.server.execute(f"CREATE DATABASE {name} {how}")
        world.environment["HOSTILE_URL"] = (
            f"postgresql://postgres@/{name}?host={quote(str(self.server.directory), safe='')}"
        )
        return fuzz_tables.chats_in_postgresql(draw, self.server, name, plain=plain)


@contextmanager
def ground(server: Server) -> Iterator[Ground]:
    """The ground of many rounds."""
    emulator = Emulator({KEY: "main"})
    with TemporaryDirectory() as root, server.database() as database, emulator.serve() as served:
        file = Path(root) / "empty.db"
        Registry.open(f"sqlite:///{file}").close()
        Registry.open(server.url(database)).close()
        yield Ground(emulator, served.base_url, server, file, database)


def play(ground: Ground, seed: str, number: int) -> Count:
    """Play the round of this number.

    Raises:
        BrokenError: Something did not hold.
    """
    engine = ENGINES[number % len(ENGINES)]
    try:
        with TemporaryDirectory() as root, ExitStack() as stack:
            return Round(ground, Draw(f"{seed}/{number}"), engine, Path(root), stack).play()
    except BrokenError as error:
        raise BrokenError(f"SEED={seed} ROUND={number} ({engine}): {error}") from None


class Round:
    """One round's world."""

    def __init__(
        self, ground: Ground, draw: Draw, engine: str, root: Path, stack: ExitStack
    ) -> None:
        self._draw = draw
        self._emulator = ground.emulator
        self._world = World(root, ground.emulator, ground.base_url, {KEY_VARIABLE: KEY})
        # An hour beside other work: a janitor that had to wait for the machine is no failure.
        self._world.environment["JANITOR_LEASE_SECONDS"] = "3600"
        self._world.configure(POLICIES)
        _edit(self._world, "limits: {max_percent: 100}", LIMITS)
        self._inbox = ground.registry(engine, self._world, stack)
        other = draw.one(ENGINES)
        self._source = ground.source(draw, other, self._world, stack)
        self._harmless()
        self._site = Site(ground.emulator, ground.base_url, KEY)

    def _harmless(self) -> None:
        path = self._world.directory / "harmless.db"
        self._world.environment["HARMLESS_URL"] = f"sqlite:///{path}"
        fuzz_tables.chats_in_sqlite(path)
        self._good_source = self._conversation()
        with closing(sqlite3.connect(path)) as connection, connection:
            row = CHATS | {"id": self._good_source}
            marks = ", ".join("?" * len(row))
            statement = f"INSERT INTO chats ({', '.join(row)}) VALUES ({marks})"  # noqa: S608
            connection.execute(statement, [*row.values()])
        with self._world.config.open("a", encoding="utf-8") as file:
            file.write(SOURCES.format(query=QUERY))

    def play(self) -> Count:
        """Fill everything, let the commands run, and ask what must hold."""
        good = {name: self._conversation() for name in ("inbox", "table", "server")}
        played = Count(
            rounds=1,
            inbox=self._inbox.fill(self._draw, self._draw.number(20, 120), good["inbox"]),
            source=self._source.fill(self._draw, self._draw.number(20, 120), good["table"]),
        )
        self._twist_answers(good["server"])
        try:
            self._run("sweep", codes=(0, 1))
            self._site.twist_list(self._draw)
            self._run("sync", "--discover", codes=(0, 1))
            played.answers = sum(self._emulator.struck().values())
        finally:
            self._emulator.clear_faults()
        for name, one in {**good, "source": self._good_source}.items():
            if self._emulator.exists(one):
                told = self._world.run("explain", one)
                said = f"{self._last}\n{told.out}\n{told.err}"
                raise BrokenError(f"the good one of the {name} was not deleted\n{said}")
        self._run("doctor", codes=DOCTORED)
        self._run("list", "--failed", codes=(0,))
        self._run("list", codes=(0,), shows=True)
        self._emulator.clear_log()
        return played

    def _conversation(self) -> str:
        return self._emulator.add_conversation(created_at=OLD, metadata={"plan": "trial"}, items=1)

    def _twist_answers(self, good: str) -> None:
        """Register containers of each kind whose answers are hostile, and a good one."""
        places = [self._draw.one(sorted(KINDS)) for _ in range(self._draw.number(5, 20))]
        rows = [(KINDS[place], self._add(place), place) for place in places]
        lines = [("conversation", good, ""), *rows]
        file = self._world.directory / "threads.csv"
        said = "".join(f"{one},{kind},{AGE},{AGE},trial\n" for kind, one, _ in lines)
        file.write_text(f"id,kind,created_at,last_active_at,metadata.plan\n{said}")
        self._run("import", str(file), codes=(0,))
        for _, one, place in rows:
            self._site.twist(self._draw, place, one)

    def _add(self, place: str) -> str:
        """A container that is due, and of which the server tells nothing odd yet."""
        plan = {"plan": "trial"}
        match place:
            case "threads":
                return self._emulator.add_thread(
                    created_at=OLD, last_active_at=OLD, metadata=plan, items=2
                )
            case "chatkit/threads":
                return self._emulator.add_chatkit_thread(
                    created_at=OLD, last_active_at=OLD, items=2
                )
            case "agents/sessions":
                return self._emulator.add_agent_session(
                    created_at=OLD, last_active_at=OLD, metadata=plan, items=2
                )
            case _:
                return self._emulator.add_conversation(created_at=OLD, metadata=plan, items=2)

    def _run(self, *arguments: str, codes: tuple[int, ...], shows: bool = False) -> None:
        try:
            done = self._world.run(*arguments)
        except Exception:  # noqa: BLE001 - what escapes a command is what is looked for
            raise BrokenError(f"{arguments[0]} raised\n{traceback.format_exc()}") from None
        self._last = f"{done.code}\n{done.out[-3000:]}\n{done.err[-3000:]}"
        if done.code not in codes:
            raise BrokenError(f"{arguments[0]} ended with {self._last}")
        shown = done.err if shows else done.out + done.err
        if UNFORESEEN.search(shown):
            raise BrokenError(f"{arguments[0]} did not foresee something: {self._last}")
        if SECRET in shown:
            spot = shown.index(SECRET)
            raise BrokenError(
                f"{arguments[0]} shows a value: {shown[max(0, spot - 300) : spot + 300]}"
            )


def _edit(world: World, before: str, after: str) -> None:
    text = world.config.read_text(encoding="utf-8")
    if text.count(before) != 1:
        raise ValueError(f"{before} stands not once in the configuration")
    world.config.write_text(text.replace(before, after), encoding="utf-8")
