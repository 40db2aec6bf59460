"""A warning of tracking says in words why a registry takes nothing, and what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from mounts import fill_up, read_only, tmpfs
from postgres import Server
from scarce import few_files
from tracked import Place

from janitor.metrics import Metrics
from janitor.model import Kind, NoticeEvent
from janitor.registry import Registry
from janitor.service.endpoints import Access, Health, Token, TokenScope, application
from janitor.service.server import Server as Service
from janitor.tracking import inbox
from janitor.tracking.inbox import failure_reason, inbox_of
from janitor.tracking.notices import Notice

FULL = "No space left on device; free some space"
NOTICE = Notice("main", Kind.THREAD, "thread_secret", datetime.now(UTC), NoticeEvent.TOUCH)


def refused(registry: str) -> str:
    leads = inbox_of(registry)
    assert not isinstance(leads, Path)
    with pytest.raises(Exception) as caught:  # noqa: PT011  whatever a registry raises
        leads.add([NOTICE])
    said = failure_reason(caught.value)
    assert "secret" not in said
    return said


def test_a_registry_on_sqlite_that_does_not_exist_yet(tmp_path: Path) -> None:
    said = refused(f"sqlite:///{tmp_path / 'janitor.db'}")
    assert said.startswith("the registry does not exist yet, or its path is wrong")


def test_a_registry_on_sqlite_without_tables(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "janitor.db").close()
    (tmp_path / "janitor.db").touch()
    said = refused(f"sqlite:///{tmp_path / 'janitor.db'}")
    assert said.startswith("the registry has no tables yet: a janitor creates them")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Path.mkdir, "it is a directory; correct the address"),
        (os.mkfifo, "it is a pipe; correct the address"),
        (lambda path: path.write_text("x" * 1000), "the file is not a database; correct"),
    ],
)
def test_a_registry_on_sqlite_that_is_none(
    place: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    place(tmp_path / "janitor.db")
    assert refused(f"sqlite:///{tmp_path / 'janitor.db'}").startswith(said)


def test_a_registry_on_sqlite_that_cannot_be_written(place: Place) -> None:
    with few_files():
        assert refused(place.url).startswith("Too many open files; raise the limit")
    with tmpfs(place.directory / "small", "1m") as small:
        shutil.copy(place.database, small)
        fill_up(small)
        assert refused(f"sqlite:///{small}/janitor.db").startswith(FULL)
    with read_only(place.directory):
        assert refused(place.url).startswith("Read-only file system; mount it writable")


def test_a_registry_on_postgresql_that_takes_no_rows(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PATIENCE", 1.0)
    with postgres.database() as name:
        Registry.open(postgres.url(name)).close()
        role = f"app_{name}"
        postgres.execute(f"CREATE ROLE {role} LOGIN", name)
        said = refused(postgres.url(name, role))
        with closing(psycopg.connect(postgres.url(name).replace("+psycopg", ""))) as other:
            other.execute("LOCK TABLE janitor_inbox")
            late = refused(postgres.url(name))
        postgres.execute(f"DROP ROLE {role}", name)
    assert said == "its role may not write: grant it INSERT on janitor_inbox"
    assert late == (
        "it does not accept the rows in time; another session may be locking janitor_inbox"
    )


def test_a_server_that_does_not_run() -> None:
    said = refused("postgresql://u:secret@127.0.0.1:1/d")
    assert said.startswith("no session can be opened; check the address, the password")


def test_a_registry_on_postgresql_without_tables(postgres: Server) -> None:
    with postgres.database() as name:
        said = refused(postgres.url(name))
    assert said.startswith("the registry has no tables yet: a janitor creates them")


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("secret@", "the service answered 404 to /elsewhere/api/threads; check the address"),
        ("", "the service answered 401 to /elsewhere/api/threads; set JANITOR_TOKEN"),
    ],
)
def test_a_service_at_another_path(token: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JANITOR_TOKEN", raising=False)
    access = Access(frozenset(), (Token("ops", TokenScope.OPERATE, lambda: "secret"),))
    face = application(Metrics().app(lambda: None), Health(lambda: None, lambda: None), access)
    with Service(face, "127.0.0.1:0") as service:
        answer = refused(f"http://{token}127.0.0.1:{service.port}/elsewhere")
    assert answer.startswith(said)


def test_a_service_that_does_not_run() -> None:
    assert refused("http://127.0.0.1:1").startswith("the service cannot be reached")
