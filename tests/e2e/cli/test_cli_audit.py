"""`runs ID` finds, shows and verifies; `list --failed` says why, and when next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres import Server
from world import NOW, World

from janitor.emulator import Fault, How
from janitor.registry import Registry, RunResult

DELETED = "  - {name: old, match: {metadata: {plan: trial}}, delete: {after: 30d}}\n"


@pytest.fixture(params=["sqlite", "postgres"])
def audited(world: World, request: pytest.FixtureRequest) -> Iterator[Registry]:
    """The registry, on either engine, of a world that has swept once."""
    world.configure(DELETED)
    url = f"sqlite:///{world.registry}"
    if request.param == "sqlite":
        yield from _swept(world, url)
        return
    server: Server = request.getfixturevalue("postgres")
    with server.database() as name:
        url = server.url(name)
        text = world.config.read_text(encoding="utf-8").replace("sqlite:///janitor.db", url)
        world.config.write_text(text, encoding="utf-8")
        yield from _swept(world, url)


def _swept(world: World, url: str) -> Iterator[Registry]:
    world.fill(2)
    assert world.run("sweep").code == 0
    with Registry.open(url) as registry:
        yield registry


@pytest.mark.slow
@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE event SET reason = 'other' WHERE number = 1",
        "DELETE FROM event WHERE number = 2",
        "UPDATE run SET counts = '{}'",
        "UPDATE run SET result = 'partial'",
    ],
)
def test_whatever_is_changed_afterwards_is_found(
    world: World, audited: Registry, tampering: str
) -> None:
    (run,) = audited.runs.newest()
    assert world.run("runs", run.id[:8]).code == 0
    with audited.store.writing() as connection:
        assert connection.exec_driver_sql(tampering).rowcount > 0
    done = world.run("runs", run.id[:8])
    assert (done.code, run.id in done.err) == (1, True)
    document = world.run("--output", "json", "runs", run.id).document
    assert (document["intact"], document["broken_run"]) == (False, run.id)


def test_a_run_is_named_by_the_beginning_of_its_id(world: World) -> None:
    with Registry.open(f"sqlite:///{world.registry}") as registry:
        for _ in range(17):  # two of them begin alike
            run = registry.runs.start("sweep", "enforce", "digest", NOW)
            registry.runs.close(run.id, RunResult.DONE, NOW)
        ids = [run.id for run in registry.runs.newest()]
    twice = next(one[0] for one in ids if sum(other[0] == one[0] for other in ids) > 1)
    done = world.run("runs", twice)
    assert (done.code, "several runs begin with" in done.err) == (2, True)
    for one in ids:
        assert world.run("--output", "json", "runs", one).document["id"] == one
    for unknown in ("zz", "%", ids[0] + "0"):
        assert (world.run("runs", unknown).code, world.run("runs", unknown).out) == (2, "")


@pytest.mark.slow
def test_a_long_run_is_one_document_and_many_lines(world: World) -> None:
    world.configure(DELETED)
    world.fill(250)
    assert world.run("sweep").code == 0
    (run,) = world.run("--output", "json", "runs").document["runs"]
    document = world.run("--output", "json", "runs", run["id"]).document
    lines = world.run("--output", "jsonl", "runs", run["id"]).lines
    assert len(document["events"]) == len(lines) == 250
    assert all(event["response_id"].startswith("req_") for event in document["events"])
    table = world.run("runs", run["id"]).out
    assert table.count(" deleted ") == 200
    assert "--output jsonl lists all" in table


def test_what_failed_says_why_and_when_next(world: World) -> None:
    world.configure(DELETED)
    busy, torn, failed, withdrawn = world.fill(4)
    path = "/conversations"
    locked = {"error": {"message": "in use", "type": "x", "code": "conversation_locked"}}
    faults = [
        Fault(How.STATUS, path=f"{path}/{busy}*", status=400, body=locked),
        Fault(How.STATUS, path=f"{path}/{torn}", method="DELETE", status=400, body=locked),
        Fault(How.STATUS, path=f"{path}/{failed}*", status=500),
        Fault(
            How.STATUS, path=f"{path}/{withdrawn}/items/*", method="DELETE", status=400, body=locked
        ),
    ]
    for fault in faults:
        world.emulator.add_fault(fault)
    world.run("sweep")
    rows = {row["id"]: row for row in world.run("--output", "jsonl", "list", "--failed").lines}
    assert rows.keys() == {busy, torn, failed, withdrawn}
    for row in rows.values():
        assert (row["attempts"], row["review_at"] > row["due_at"]) == (1, True)
    assert {one: rows[one]["state"] for one in rows} == {
        busy: "active",
        torn: "deleting",
        failed: "active",
        withdrawn: "active",
    }
    assert "in use" in rows[busy]["last_error"]
    assert "items are gone already" in rows[torn]["last_error"]
    assert "HTTP 500" in rows[failed]["last_error"]
    table = world.run("list", "--failed").out
    for title in ("attempts", "last_error", "review_at", *rows):
        assert title in table
    said = world.run("--output", "json", "explain", withdrawn).document["threads"][0]
    assert "withdrawn" in [event["name"] for event in said["history"]]
