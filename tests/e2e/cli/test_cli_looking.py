"""`list`, `explain`, `runs` and `restore` show what is so."""

from __future__ import annotations

import sqlite3

import pytest
from world import World

from janitor.emulator import Fault, How


@pytest.fixture
def filled(world: World) -> dict[str, str]:
    """Ids by what became of them in one sweep: deleted, marked, young, busy."""
    deleted = world.fill(1, plan="trial", user="u1")[0]
    marked = world.fill(1, age=20, plan="marked", user="u1")[0]
    young = world.fill(1, age=1, plan="trial", user="u2")[0]
    failed = world.fill(1, age=8, plan="trial", user="u2")[0]
    with world.emulator.faulty(Fault(How.HTML, path=f"/conversations/{failed}*")):
        assert world.run("sweep").code == 1
    return {"deleted": deleted, "marked": marked, "young": young, "failed": failed}


def listed(world: World, *arguments: str) -> set[str]:
    return {row["id"] for row in world.run("--output", "jsonl", "list", *arguments).lines}


def test_list_selects(world: World, filled: dict[str, str]) -> None:
    assert listed(world) == set(filled.values()), "tombstones too"
    assert listed(world, "--state", "deleted") == {filled["deleted"]}
    assert listed(world, "--state", "soft_deleted") == {filled["marked"]}
    assert listed(world, "--failed") == {filled["failed"]}
    assert listed(world, "--metadata", "user=u2") == {filled["young"], filled["failed"]}
    assert listed(world, "--metadata", "user=u2", "--metadata", "plan=marked") == set()
    assert listed(world, "--metadata", "user=u1") == {filled["marked"]}, "tombstones say nothing"
    assert listed(world, "--failed", "--metadata", "user=u1") == set()


def test_list_due_tells_what_the_next_sweep_would_do(world: World) -> None:
    due = set(world.fill(2))
    world.fill(2, age=1)
    assert world.run("sweep", "--policy", "marked").code == 0
    assert listed(world, "--due") == due
    assert world.run("sweep").code == 0
    assert listed(world, "--due") == set()


def test_a_failure_says_why(world: World, filled: dict[str, str]) -> None:
    (row,) = world.run("--output", "jsonl", "list", "--failed").lines
    assert row["attempts"] == 1
    assert filled["failed"] in row["last_error"]
    table = world.run("list", "--failed").out
    assert "last_error" in table
    assert filled["failed"] in table
    assert "failed" in world.run("explain", filled["failed"]).out


def test_a_long_table_says_that_it_is_cut(world: World) -> None:
    lines = "".join(f'{{"id": "conv_{n}"}}\n' for n in range(250))
    (world.directory / "many.jsonl").write_text(lines)
    assert world.run("import", str(world.directory / "many.jsonl")).code == 0
    done = world.run("list")
    assert done.out.count("conv_") == 200
    assert "--output jsonl lists all" in done.out
    assert len(listed(world)) == 250


def test_explain_tells_reasons_and_history(world: World, filled: dict[str, str]) -> None:
    young = world.run("explain", filled["young"]).out
    assert "not_due" in young
    assert "trial-chats" in young
    (said,) = world.run("--output", "json", "explain", filled["deleted"]).document["threads"]
    assert said["state"] == "deleted"
    assert [event["name"] for event in said["history"]] == ["archived", "deleted"]
    assert {event["policy"] for event in said["history"]} == {"trial-chats"}
    assert said["archive"].startswith("main/conversation/")
    assert (world.archive / said["archive"]).is_file()


def test_explain_of_a_stranger_exits_2(world: World, filled: dict[str, str]) -> None:
    done = world.run("explain", "conv_stranger")
    assert (done.code, done.out) == (2, "")
    assert "janitor import --id" in done.err


def test_runs_are_listed_the_newest_first(world: World) -> None:
    for _ in range(3):
        assert world.run("sweep").code == 0
    runs = world.run("--output", "json", "runs").document["runs"]
    starts = [run["started_at"] for run in runs]
    assert starts == sorted(starts, reverse=True)
    assert [run["counts"] for run in runs] == [{}, {}, {}], "sweeps that did nothing too"
    (newest,) = world.run("--output", "json", "runs", "--limit", "1").document["runs"]
    assert newest == runs[0]


def test_a_run_is_shown_and_verified(world: World, filled: dict[str, str]) -> None:
    (run,) = world.run("--output", "json", "runs").document["runs"]
    done = world.run("runs", run["id"][:8])
    assert done.code == 0
    assert f"Digest {run['digest']}: the chain of runs is intact." in done.out
    assert filled["deleted"] in done.out


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE event SET reason = 'other' WHERE name = 'deleted'",
        "DELETE FROM event WHERE name = 'deleted'",
        "UPDATE run SET counts = '{}'",
    ],
)
def test_a_record_that_was_changed_breaks_the_chain(
    world: World, filled: dict[str, str], tampering: str
) -> None:
    (run,) = world.run("--output", "json", "runs").document["runs"]
    connection = sqlite3.connect(world.registry)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    prefix = "" if "event" in tables else "janitor_"
    statement = tampering.replace(" event", f" {prefix}event").replace(" run", f" {prefix}run")
    assert connection.execute(statement).rowcount > 0
    connection.commit()
    connection.close()
    done = world.run("runs", run["id"])
    assert done.code == 1
    assert f"BROKEN at run {run['id']}" in done.out
    machine = world.run("--output", "json", "runs", run["id"])
    assert (machine.code, machine.document["intact"]) == (1, False)


def test_a_run_that_never_was_exits_2(world: World, filled: dict[str, str]) -> None:
    done = world.run("runs", "nope")
    assert done.code == 2
    assert "janitor runs" in done.err


def test_restore_undoes_a_soft_delete_and_keeps_it(world: World, filled: dict[str, str]) -> None:
    done = world.run("restore", filled["marked"], "--keep", "40d")
    assert done.code == 0
    assert "1 restored" in done.out
    assert world.states()[filled["marked"]] == "active"
    assert world.run("sweep").code == 1, "the one that failed is still due"
    assert world.states()[filled["marked"]] == "active"
    assert "keep_until" in world.run("explain", filled["marked"]).out
    newest, *_ = world.run("--output", "json", "runs", "--limit", "2").document["runs"][1:]
    assert (newest["command"], newest["result"]) == ("restore", "done")


@pytest.mark.parametrize("which", ["deleted", "young"])
def test_only_what_was_soft_deleted_is_restored(
    world: World, filled: dict[str, str], which: str
) -> None:
    world.emulator.clear_log()
    done = world.run("restore", filled[which], filled["marked"])
    assert done.code == 2
    assert "only a soft delete is undone" in done.err
    assert world.states()[filled["marked"]] == "soft_deleted", "all or none"
    assert world.changes == []


def test_a_sweep_may_be_limited(world: World) -> None:
    world.fill(5)
    assert world.run("sweep", "--limit", "2").code == 0
    assert list(world.states().values()).count("deleted") == 2
    assert world.run("sweep", "--policy", "marked").code == 0
    assert list(world.states().values()).count("deleted") == 2
    assert world.run("sweep", "--policy", "trial-chats").code == 0
    assert set(world.states().values()) == {"deleted"}


def test_a_plan_says_how_many_it_did_not_ask_about(world: World) -> None:
    world.fill(3)
    world.emulator.clear_log()
    document = world.run("--output", "json", "plan", "--probe", "1").document
    assert document["not_probed"] == 2
    assert [row["probed"] for row in document["decisions"]].count(True) == 1
    asked = {entry.path.split("/")[2] for entry in world.emulator.log}
    assert len(asked) == 1
    assert "2 were not asked about" in world.run("plan", "--probe", "1").out
