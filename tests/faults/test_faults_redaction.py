"""I10: text is in the archive alone, metadata in the registry while its thread lives."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from markers import (
    SECRETS,
    TEXTS,
    VALUES,
    mark,
    marked_emulator,
    marker,
    places_in,
    quoting,
    register,
    stored,
)
from postgres import Server
from serve.serving import Serving
from world import Done, World

from janitor.emulator import How

ALL = (*TEXTS, *VALUES, *SECRETS)
OPEN = (*TEXTS, *SECRETS)
"""What even those commands may not show whose business metadata is."""

FAILURES = [(How.STATUS, 400), (How.STATUS, 401), (How.STATUS, 404), (How.STATUS, 409)]
FAILURES += [(How.STATUS, 500), (How.STATUS, 418), (How.HTML, 502), (How.HTML, 200)]


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[World]:
    emulator = marked_emulator()
    with emulator.serve() as served:
        made = World(tmp_path, emulator, served.base_url)
        mark(made)
        yield made
        made.end()


def silent(done: Done, places: tuple[str, ...] = ALL, code: int = 0) -> Done:
    assert done.code == code, done.out + done.err
    assert places_in((done.out + done.err).encode(), places) == []
    assert "Traceback" not in done.err
    return done


def assert_files_silent(world: World, places: tuple[str, ...]) -> None:
    found = {name: places_in(said, places) for name, said in stored(world.directory).items()}
    assert {name: told for name, told in found.items() if told} == {}


def archived(world: World) -> bytes:
    texts = []
    for path in world.archive.rglob("*.zst"):
        with path.open("rb") as file:
            texts.append(zstandard.ZstdDecompressor().stream_reader(file).read())
    return b"".join(texts)


def test_what_looks_shows_metadata_where_that_is_its_business_and_nothing_else(
    marked: World,
) -> None:
    for output in ("table", "json", "jsonl"):
        for command in (["plan", "--all"], ["plan", "--offline"], ["runs"], ["missing", "list"]):
            silent(marked.run("-v", "--output", output, *command))
        assert marker("person") in silent(marked.run("--output", output, "list"), OPEN).out
    silent(marked.run("plan", "-o", str(marked.directory / "plan.json")))
    one = next(iter(marked.states()))
    silent(marked.run("explain", one), OPEN)
    silent(marked.run("validate"))
    silent(marked.run("pause", "--reason", "because"))
    silent(marked.run("-v", "sweep"))
    silent(marked.run("resume"))
    assert_files_silent(marked, (*TEXTS, *SECRETS))
    assert places_in((marked.directory / "plan.json").read_bytes(), ALL) == []


def test_sweeps_are_silent_and_leave_no_metadata_behind(marked: World) -> None:
    textfile = marked.directory / "janitor.prom"
    marked.config.write_text(marked.config.read_text().replace("mode: enforce", "mode: audit"))
    silent(marked.process("-v", "sweep"))
    marked.config.write_text(marked.config.read_text().replace("mode: audit", "mode: enforce"))
    silent(
        marked.process("-v", "--log-format", "json", "sweep", "--metrics-textfile", str(textfile))
    )
    assert places_in(textfile.read_bytes(), ALL) == []
    states = marked.states()
    assert sorted(states.values()) == ["deleted"] * 3 + ["soft_deleted"], states
    (soft,) = (one for one, state in states.items() if state == "soft_deleted")
    silent(marked.process("-v", "restore", soft))
    for run in silent(marked.run("--output", "json", "runs")).document["runs"]:
        silent(marked.run("--output", "json", "runs", run["id"]))
    text = archived(marked)
    assert set(places_in(text, TEXTS)) == set(TEXTS) - {"error", "header", "page"}
    assert places_in(text, SECRETS) == []
    assert_files_silent(marked, OPEN)


def test_a_tombstone_leaves_no_metadata_on_the_disk(marked: World) -> None:
    stands = b"".join(stored(marked.directory).values())
    assert set(places_in(stands, VALUES)) >= {"reported", "reportedname", "person"}
    text = marked.config.read_text(encoding="utf-8")
    marked.config.write_text(
        text.replace("    soft_delete: {after: 8d}\n", "").replace("300d", "9d")
    )
    silent(marked.process("sweep"))
    assert set(marked.states().values()) == {"deleted"}, marked.states()
    assert_files_silent(marked, ALL)


@pytest.mark.parametrize(("how", "status"), FAILURES)
def test_failures_quote_nothing(marked: World, how: How, status: int) -> None:
    with marked.emulator.faulty(quoting(how, status)):
        done = marked.process("-v", "--log-format", "json", "sweep")
        silent(done, code=done.code)
        plan = marked.run("--output", "json", "plan", "--all")
        silent(plan, code=plan.code)
    silent(marked.run("--output", "jsonl", "list", "--failed"), OPEN)
    assert_files_silent(marked, OPEN)


def test_the_service_is_silent(marked: World, serving: Callable[..., Serving]) -> None:
    marked.emulator.add_fault(quoting(How.STATUS, 500))
    one = serving("-v")
    said = "".join(one.get(path)[1] for path in ("/metrics", "/healthz", "/readyz", "/", "/none"))
    for token in (marker("token") * 2, marker("item")):
        connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=240)
        connection.request(
            "POST", f"/api/{marker('item')}", headers={"Authorization": f"Bearer {token}"}
        )
        said += connection.getresponse().read().decode()
        connection.close()
    one.stop()
    assert places_in((said + one.text).encode(), ALL) == []
    assert "serving on port" in one.text


def test_a_postgresql_registry_is_silent(tmp_path: Path, postgres: Server) -> None:
    emulator = marked_emulator()
    with emulator.serve() as served, postgres.database() as name:
        world = World(tmp_path, emulator, served.base_url)
        mark(world)
        text = world.config.read_text().replace("sqlite:///janitor.db", postgres.url(name))
        world.config.write_text(text)
        register(world, {kind_of(one): one for one in emulator.ids()})
        assert set(places_in(dump(postgres, name), ALL)) <= set(VALUES)
        with emulator.faulty(quoting(How.STATUS, 400)):
            done = world.process("-v", "sweep")
            silent(done, code=done.code)
        assert places_in(dump(postgres, name), OPEN) == []
        world.end()


def kind_of(id: str) -> str:
    prefixes = {"conv_": "conversation", "cthr_": "chatkit_thread", "thread_": "thread"}
    found = (kind for prefix, kind in prefixes.items() if id.startswith(prefix))
    return next(found, "agent_session")


def dump(server: Server, database: str) -> bytes:
    """Every row of every table, as text."""
    tables = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database)
    rows = [server.execute(f"SELECT t::text FROM {table} t", database) for (table,) in tables]  # noqa: S608 - our own names
    assert sum(map(len, rows)) > 0
    return repr(rows).encode()
