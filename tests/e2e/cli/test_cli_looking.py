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
    done = world.run("--output", "jsonl", "list", *arguments)
    assert done.code == 0, done.err
    return {row["id"] for row in done.lines}


def test_list_selects(world: World, filled: dict[str, str]) -> None:
    assert listed(world) == set(filled.values()), "tombstones too"
    assert listed(world, "--state", "deleted") == {filled["deleted"]}
    assert listed(world, "--state", "soft_deleted") == {filled["marked"]}
    assert listed(world, "--failed") == {filled["failed"]}
    assert listed(world, "--metadata", "user=u2") == {filled["young"], filled["failed"]}
    assert listed(world, "--metadata", "user=u2", "--metadata", "plan=marked") == set()
    assert listed(world, "--metadata", "user=u1") == {filled["marked"]}, "tombstones say nothing"
    assert listed(world, "--failed", "--metadata", "user=u1") == set()
    assert world.run("list", "--state", "archived").out == "No thread matches.\n"


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


def test_explain_says_of_a_deleted_thread_nothing_that_keeps_it(
    world: World, filled: dict[str, str]
) -> None:
    held = filled["deleted"]
    world.run("hold", "add", "case", "--reason", "law", "--id", held, "--no-copy")
    world.run("hold", "add", "other", "--reason", "law", "--metadata", "user=u2", "--no-copy")
    gone = world.run("explain", held).out
    assert "History" in gone
    for section in ("Current decision", "Matching policies", "What keeps it", "other"):
        assert section not in gone
    assert "case" in gone, "it keeps the copy"
    there = world.run("explain", filled["young"]).out
    assert "What keeps it" in there
    assert "no end" in there
    assert "never" not in there
    assert "trim" not in there


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


def test_list_selects_by_age_size_and_kind(world: World, filled: dict[str, str]) -> None:
    assert listed(world, "--older-than", "15d") == {filled["marked"]}, "tombstones have no age"
    assert listed(world, "--older-than", "5d") == {filled["marked"], filled["failed"]}
    assert listed(world, "--older-than", "5d", "--failed") == {filled["failed"]}
    assert listed(world, "--older-than", "999y") == set()
    (archived,) = world.fill(1, age=9)
    assert world.run("sweep").code == 1, "one still fails"
    assert listed(world, "--larger-than", "1") == {archived}, "counted as it was copied"
    assert listed(world, "--larger-than", "2") == set()
    assert listed(world, "--kind", "conversation") == {*filled.values(), archived}
    assert listed(world, "--kind", "thread") == set()
    assert listed(world, "--project", "other") == set()


def test_list_sorts_and_limits(world: World, filled: dict[str, str]) -> None:
    by_age = [filled[name] for name in ("marked", "failed", "young", "deleted")]
    asked = ("list", "--sort", "last_active_at")
    for output in ("json", "jsonl"):
        done = world.run("--output", output, *asked)
        rows = done.lines if output == "jsonl" else done.document["threads"]
        assert [row["id"] for row in rows] == by_age
    newest = world.run("--output", "jsonl", *asked, "--reverse", "--limit", "2").lines
    assert [row["id"] for row in newest] == [filled["young"], filled["failed"]]
    shown = world.run(*asked, "--limit", "3").out
    assert [one for one in shown.split() if one in by_age] == by_age[:3]
    assert "items" in world.run("list", "--sort", "items").out.splitlines()[1].split()
    pair = ("--metadata", "user=u2", "--metadata", "plan=trial")
    rows = world.run("--output", "jsonl", *asked, "--reverse", *pair).lines
    assert [row["id"] for row in rows] == [filled["young"], filled["failed"]]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--reverse",),
        ("--sort", "name"),
        ("--limit", "0"),
        ("--older-than", "soon"),
        ("--metadata", "plan=a", "--metadata", "plan=b"),
    ],
    ids=" ".join,
)
def test_list_refuses_what_has_no_meaning(world: World, arguments: tuple[str, ...]) -> None:
    world.fill(1)
    done = world.run("list", *arguments)
    assert (done.code, done.out) == (2, "")
    assert "Error: " in done.err


def test_restore_of_a_deleted_thread_says_where_its_copy_is(
    world: World, filled: dict[str, str]
) -> None:
    done = world.run("restore", filled["deleted"])
    assert done.code == 2
    assert f"janitor explain {filled['deleted']}" in done.err
    (copy,) = world.archive.rglob(f"{filled['deleted']}.*.zst")
    command = done.err.partition("Show it: ")[2].partition(";")[0]
    assert f"Its copy is {copy}. " in done.err
    shown = world.run(*command.removeprefix("janitor ").split())
    assert (shown.code, shown.err) == (0, "")
    assert f"conversation {filled['deleted']}" in shown.out


def test_restore_of_a_deleted_thread_without_a_copy_says_so(world: World) -> None:
    policy = '  - {name: all, default: true, delete: {after: "30d"}}'
    world.configure(policy)
    (one,) = world.fill(1)
    assert world.run("sweep").code == 0
    done = world.run("restore", one)
    assert done.code == 2
    assert "There is no copy of it" in done.err


@pytest.mark.parametrize("which", ["deleted", "young"])
def test_only_what_was_soft_deleted_is_restored(
    world: World, filled: dict[str, str], which: str
) -> None:
    world.emulator.clear_log()
    done = world.run("restore", filled[which], filled["marked"])
    assert done.code == 2
    assert "only a soft delete can be undone" in done.err
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
    assert "The server was not asked about 2" in world.run("plan", "--probe", "1").out
    offline = world.run("plan", "--offline").out
    assert "The server was not asked about 3 threads." in offline
    assert "by the registry's facts where the server was not asked" in offline
    assert "--probe" not in offline
