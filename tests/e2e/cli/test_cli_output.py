"""Every command as a table, as one JSON document, and as JSON lines."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from world import World

DECISION = {
    *("id", "kind", "project", "stage", "stages", "policy", "due_at", "age_base", "reason"),
    *("last_active_at", "newest_item", "probed"),
}
PLAN = {
    *("schema", "digest", "now", "mode", "policies_digest", "decisions", "kept", "limits"),
    *("cost", "undrained", "not_probed", "hypothetical", "registry"),
}
THREAD = {
    *("id", "kind", "project", "state", "created_at", "last_active_at", "review_at", "policy"),
    *("metadata", "due_at", "items", "keep_until", "soft_deleted_at", "deleted_at", "run"),
    *("archive", "attempts", "last_error"),
}
RUN = {"id", "command", "started_at", "closed_at", "result", "mode", "counts", "digest", "previous"}
REPORT = {
    *("run", "command", "result", "mode", "started_at", "closed_at", "digest", "outcomes"),
    *("kept", "limits", "stopped"),
}
FIXTURE = """\
- name: a trial chat is archived
  now: 2026-01-10T00:00:00Z
  thread: {kind: conversation, created_at: 2026-01-01T00:00:00Z,
           last_active_at: 2026-01-01T00:00:00Z, metadata: {plan: trial}}
  expect: {stage: archive}
"""


@pytest.fixture
def lived_in(world: World) -> World:
    """A world with a sweep behind it and something still due."""
    world.fill(2)
    world.fill(1, age=20, plan="marked")
    assert world.run("sweep").code == 0
    world.fill(2)
    (world.directory / "tests.yaml").write_text(FIXTURE)
    return world


DOCUMENTS = {
    "plan": PLAN,
    "list": {"schema", "threads"},
    "runs": {"schema", "runs"},
    "sweep": {"schema"} | REPORT,
    "validate": {"schema", "file", "summary", "policies", "warnings"},
    "test tests.yaml": {"schema", "failed", "tests"},
    "import --id conv_1": {
        "schema",
        "added",
        "updated",
        "unchanged",
        "due_earlier",
        "remarks",
        "rejected",
    },
    "init new.yaml": {"schema", "path"},
}
LINES = {
    "plan": DECISION,
    "list": THREAD,
    "runs": RUN,
    "sweep": REPORT,
    "test tests.yaml": {"name", "place", "passed", "differences"},
    "import --id conv_1": {"added", "updated", "unchanged", "due_earlier", "remarks", "rejected"},
}


def in_place(world: World, command: str) -> list[str]:
    return [
        str(world.directory / word) if word.endswith(".yaml") else word for word in command.split()
    ]


@pytest.mark.parametrize(("command", "keys"), DOCUMENTS.items(), ids=DOCUMENTS)
def test_json_is_one_document_with_stable_keys(
    lived_in: World, command: str, keys: set[str]
) -> None:
    done = lived_in.run("--output", "json", *in_place(lived_in, command))
    assert (done.code, done.err) == (0, "")
    assert done.document["schema"] == 1
    assert keys <= set(done.document)


@pytest.mark.parametrize(("command", "keys"), LINES.items(), ids=LINES)
def test_jsonl_is_one_object_a_line(lived_in: World, command: str, keys: set[str]) -> None:
    done = lived_in.run("--output", "jsonl", *in_place(lived_in, command))
    assert (done.code, done.err) == (0, "")
    assert done.lines
    for line in done.lines:
        assert {"schema"} | keys <= set(line)
        assert line["schema"] == 1


@pytest.mark.parametrize("command", DOCUMENTS)
def test_a_table_is_no_json_and_no_markup(lived_in: World, command: str) -> None:
    done = lived_in.run(*in_place(lived_in, command))
    assert (done.code, done.err) == (0, "")
    assert done.out
    assert not done.out.startswith(("{", "["))
    assert "\x1b" not in done.out


def test_explain_and_a_run_have_the_three_forms_too(lived_in: World) -> None:
    one = lived_in.run("--output", "jsonl", "list", "--state", "deleted").lines[0]
    (thread,) = lived_in.run("--output", "json", "explain", one["id"]).document["threads"]
    assert THREAD | {"decision", "history"} <= set(thread)
    assert [event["name"] for event in thread["history"]][-1] == "deleted"
    (line,) = lived_in.run("--output", "jsonl", "explain", one["id"]).lines
    assert line == {"schema": 1, **thread}
    run = lived_in.run("--output", "json", "runs", one["run"])
    assert (run.code, run.document["id"], run.document["intact"]) == (0, one["run"], True)
    assert set(run.document) >= RUN
    lines = lived_in.run("--output", "jsonl", "runs", one["run"]).lines
    assert [line["name"] for line in lines] == [e["name"] for e in run.document["events"]]


def test_apply_and_restore_have_the_three_forms_too(lived_in: World) -> None:
    plan = lived_in.directory / "plan.json"
    (marked,) = lived_in.run("--output", "jsonl", "list", "--state", "soft_deleted").lines
    restored = lived_in.run("--output", "json", "restore", marked["id"])
    assert restored.document["restored"] == [marked["id"]]
    assert {"schema", "run"} <= set(restored.document)
    assert lived_in.run("plan", "-o", str(plan)).code == 0
    assert set(json.loads(plan.read_text())) >= PLAN
    applied = lived_in.run("--output", "json", "apply", str(plan))
    assert applied.code == 0
    assert {"schema"} | REPORT <= set(applied.document)
    assert "nothing was done" in lived_in.run("apply", str(plan)).out


def test_schema_is_one_json_document(world: World) -> None:
    for output in ("table", "json", "jsonl"):
        assert world.run("--output", output, "schema").document["type"] == "object"


def test_times_are_iso_8601_with_a_zone(lived_in: World) -> None:
    (marked,) = lived_in.run("--output", "jsonl", "list", "--state", "soft_deleted").lines
    deleted = lived_in.run("--output", "jsonl", "list", "--state", "deleted").lines[0]
    run = lived_in.run("--output", "jsonl", "runs").lines[0]
    told = [marked[name] for name in ("created_at", "last_active_at", "soft_deleted_at")]
    for at in (*told, deleted["deleted_at"], run["started_at"]):
        assert "T" in at
        assert datetime.fromisoformat(at).utcoffset() is not None


def test_a_limit_is_shown_by_a_plan_and_stops_a_sweep(world: World) -> None:
    text = world.config.read_text().replace("max_percent: 100", "max_threads: 1")
    world.config.write_text(text)
    world.fill(3)
    plan = world.run("--output", "json", "plan")
    assert plan.code == 0
    assert plan.document["limits"]["tripped"] is True
    sweep = world.run("--output", "json", "sweep")
    assert sweep.code == 4
    assert sweep.document["limits"] == ["trial-chats"]
    assert "max_threads" in sweep.err
    assert "janitor plan -o plan.json" in sweep.err
    assert world.changes == []
    path = world.directory / "plan.json"
    assert world.run("plan", "-o", str(path)).code == 0
    assert world.run("apply", str(path)).code == 0
    assert world.emulator.ids() == []


def test_what_has_changed_since_the_plan_is_drift(world: World) -> None:
    changing, other = world.fill(2)
    path = world.directory / "plan.json"
    assert world.run("plan", "-o", str(path)).code == 0
    world.emulator.append_item(changing)
    done = world.run("--output", "json", "apply", str(path))
    assert done.code == 1
    assert done.document["kept"]["drift"] == 1
    assert world.emulator.ids() == [changing]
    assert world.states()[other] == "deleted"


def test_a_plan_made_with_at_is_refused(world: World) -> None:
    world.fill(1)
    path = str(world.directory / "plan.json")
    assert world.run("plan", "--at", "2030-01-01", "-o", path).code == 0
    done = world.run("apply", path)
    assert done.code == 2
    assert "--at" in done.err
    assert world.changes == []


def test_under_audit_nothing_is_done_and_the_plan_says_how_to_act(world: World) -> None:
    ids = world.fill(2)
    world.configure(mode="audit")
    path = str(world.directory / "plan.json")
    assert "Mode is audit" in world.run("plan", "-o", path).out
    assert world.run("sweep").code == 0
    for command in (("apply", path), ("restore", ids[0])):
        done = world.run(*command)
        assert done.code == 2
        assert "mode is audit" in done.err
    assert world.changes == []
    assert not world.archive.exists() or not list(world.archive.rglob("*.zst"))


def test_a_reader_that_goes_away_is_no_failure(world: World) -> None:
    lines = "".join(f'{{"id": "conv_{n}"}}\n' for n in range(5000))
    (world.directory / "many.jsonl").write_text(lines)
    assert world.run("import", str(world.directory / "many.jsonl")).code == 0
    process = world.start("--output", "jsonl", "list")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 0
    assert process.stderr.read() == b""


def test_init_writes_a_file_that_validate_accepts_and_never_overwrites(world: World) -> None:
    path = world.directory / "new" / "janitor.yaml"
    assert world.run("init", str(path)).code == 0
    world.environment["OPENAI_API_KEY"] = "x"
    assert world.run("validate", str(path)).code == 0
    before = path.read_text()
    done = world.run("init", str(path))
    assert (done.code, path.read_text()) == (2, before)
    assert str(path) in done.err
    assert world.run("init", str(Path("/proc/nowhere/janitor.yaml"))).code == 2
