"""docs/inbox.md is run: its role on a real PostgreSQL, its INSERT in SQL, in Node and in Django."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from postgres import Server

from janitor.model import Key, Kind, NoticeEvent
from janitor.registry import Drained, Registry
from janitor.tracking.inbox import PostgresInbox
from janitor.tracking.notices import Notice

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "inbox.md"
README = HERE.parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEY = Key("main", Kind.CONVERSATION, "conv_123")
FORBIDDEN = (
    "SELECT * FROM janitor_inbox",
    "SELECT id FROM janitor_inbox",
    "INSERT INTO janitor_inbox (project, kind, id) VALUES ('a', 'b', 'c') RETURNING seq",
    "INSERT INTO janitor_inbox (seq, project, kind, id) VALUES (9, 'a', 'b', 'c')",
    "INSERT INTO janitor_inbox (project, kind, id, drained_at) VALUES ('a', 'b', 'c', now())",
    "INSERT INTO janitor_inbox (project, kind, id, refused) VALUES ('a', 'b', 'c', 'd')",
    "UPDATE janitor_inbox SET id = 'x'",
    "DELETE FROM janitor_inbox",
    "TRUNCATE janitor_inbox",
    "SELECT setval('janitor_inbox_seq_seq', 1)",
    "SELECT * FROM thread",
    "INSERT INTO thread (project, kind, id) VALUES ('a', 'thread', 'c')",
    "DELETE FROM thread",
    "UPDATE meta SET value = 'x'",
    "DELETE FROM hold",
    "DROP TABLE janitor_inbox",
    "CREATE TABLE mine (n integer)",
)
NODE = """
const { Pool } = require('pg');
const pool = new Pool();
addChat(pool, 'conv_123', 'u-17').then(() => pool.end());
"""
DJANGO = """
import os
from django.conf import settings
settings.configure(DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql",
    **{name: os.environ[f"PG{name}"] for name in ("HOST", "USER")},
    "NAME": os.environ["PGDATABASE"],
}})
"""


def blocks(language: str, page: Path = PAGE) -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for said, text in found if said == language]


@dataclass(frozen=True, slots=True)
class Application:
    """An application's database with the registry in it, and the page's role."""

    server: Server
    database: str
    role: str

    def connect(self) -> psycopg.Connection:
        url = self.server.url(self.database, self.role)
        return psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True)

    @property
    def environment(self) -> Mapping[str, str]:
        place = {"PGHOST": str(self.server.directory), "PGUSER": self.role}
        return {**os.environ, **place, "PGDATABASE": self.database}

    def taken_in(self) -> None:
        """The one chat is there, and the registry knows it."""
        chats = self.server.execute("SELECT conversation_id, user_id FROM chats", self.database)
        assert chats == [("conv_123", "u-17")]
        with Registry.open(self.server.url(self.database)) as registry:
            assert registry.inbox.drain(datetime.now(UTC)) == Drained(1)
            entry = registry.threads.get(KEY)
        assert entry is not None
        assert entry.thread.reported == {"user_id": "u-17"}
        assert entry.thread.last_active_at is not None


@pytest.fixture
def application(postgres: Server) -> Iterator[Application]:
    with postgres.database() as name:
        Registry.open(postgres.url(name)).close()
        role = f"app_{name}"
        grants, *_ = blocks("sql")
        postgres.execute(grants.replace("janitor_app", role), name)
        postgres.execute(f"ALTER ROLE {role} LOGIN", name)
        postgres.execute("CREATE TABLE chats (conversation_id text, user_id text)", name)
        postgres.execute(f"GRANT INSERT ON chats TO {role}", name)
        yield Application(postgres, name, role)
        postgres.execute(f"DROP OWNED BY {role}", name)
        postgres.execute(f"DROP ROLE {role}", name)


def test_the_one_insert_registers_with_the_chat(application: Application) -> None:
    with application.connect() as connection:
        connection.execute(blocks("sql")[1].encode())
    application.taken_in()


def test_the_readmes_insert_registers(application: Application) -> None:
    (insert,) = blocks("sql", README)
    with application.connect() as connection:
        connection.execute(insert.encode())
    with Registry.open(application.server.url(application.database)) as registry:
        assert registry.inbox.drain(datetime.now(UTC)) == Drained(1)
        assert registry.threads.get(KEY) is not None


def test_the_role_can_append_and_nothing_else(application: Application) -> None:
    with application.connect() as connection:
        for statement in FORBIDDEN:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
    with Registry.open(application.server.url(application.database)) as registry:
        assert registry.inbox.undrained() == 0


def test_tracking_needs_no_more_than_the_role(application: Application) -> None:
    now = datetime.now(UTC)
    url = application.server.url(application.database, application.role)
    told = Notice("main", Kind.THREAD, "thread_1", now, NoticeEvent.REGISTER, now, {"plan": "x"})
    PostgresInbox(url.replace("+psycopg", "", 1)).add([told])
    with Registry.open(application.server.url(application.database)) as registry:
        assert registry.inbox.drain(now) == Drained(1)


UNKNOWN = f"unknown kind; kinds: {', '.join(Kind)}"


def test_what_is_refused_is_found_as_the_page_says(application: Application) -> None:
    with application.connect() as connection:
        columns = "INSERT INTO janitor_inbox (project, kind, id) VALUES"
        connection.execute(f"{columns} ('main', 'folder', 'x')".encode())
    with Registry.open(application.server.url(application.database)) as registry:
        assert registry.inbox.drain(datetime.now(UTC)).refused == 1
    (row,) = application.server.execute(blocks("sql")[2], application.database)
    assert row[1:] == ("main", "folder", "x", "register", UNKNOWN)


def test_node(application: Application, tmp_path: Path) -> None:
    """Needs node, npm and its registry: what a page says of Node is run by Node, or not said."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, tmp_path)
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    run(install, tmp_path, os.environ)
    (snippet,) = blocks("js")
    (tmp_path / "chat.js").write_text(snippet + NODE, encoding="utf-8")
    run(["node", "chat.js"], tmp_path, application.environment)
    application.taken_in()


def test_django(application: Application, tmp_path: Path) -> None:
    (snippet,) = blocks("python")
    program = f"{DJANGO}{snippet}\nadd_chat('conv_123', 'u-17')\n"
    run([sys.executable, "-c", program], tmp_path, application.environment)
    application.taken_in()


def run(command: list[str], directory: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
