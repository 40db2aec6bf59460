"""Times that nobody set: what they are about is kept, and the commands name them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from world import NOW, World

from janitor.times import EPOCH

ODD = "is before 1973: taken as never set"


def ages(world: World, *values: str) -> list[str]:
    """Conversations of 45 days that an import dates so, by lines of id, kind, metadata and time."""
    made = [world.conversation(45, plan="trial") for _ in values]
    head = "id,created_at,last_active_at,metadata.plan"
    lines = [f"{one},{value},trial" for one, value in zip(made, values, strict=True)]
    file = world.directory / "threads.csv"
    file.write_text("\n".join([head, *lines, ""]), encoding="utf-8")
    return made


def test_what_was_never_set_is_not_old(world: World) -> None:
    world.configure()
    values = [
        f"{NOW - timedelta(days=45):%Y-%m-%dT%H:%M:%SZ},0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z,1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00+02:00,0000-00-00 00:00:00",
        "0,-62135596800",
    ]
    made = ages(world, *values)
    done = world.run("--output", "json", "import", str(world.directory / "threads.csv"))
    assert done.code == 0, done.err
    document = done.document
    assert (document["added"], document["odd_times"]) == (4, 4)
    assert document["remarks"][0] == {"line": 2, "id": made[0], "reason": f"last_active_at {ODD}"}
    assert "created_at" in document["remarks"][1]["reason"]
    swept = world.run("sweep")
    assert swept.code == 0, swept.err
    assert all(world.emulator.exists(one) for one in made)
    states = world.run("--output", "json", "list").document["threads"]
    assert {row["state"] for row in states} == {"active"}


def test_a_person_is_told_by_line(world: World) -> None:
    world.configure()
    ages(world, "2026-01-01,0001-01-01", "2026-01-01,2026-01-02 03:04:05.678 +00:00")
    file = world.directory / "threads.csv"
    for options in ([], ["--dry-run"]):
        done = world.run("import", *options, str(file))
        assert done.code == 0
        assert f"janitor: {file}:2: last_active_at {ODD}" in done.err
        assert "lines with a time that was not taken as written: 1" in done.err
    one = world.run("import", "--id", "conv_1", "--created-at", "0")
    assert (one.code, f"created_at {ODD}" in one.err) == (0, True)


@pytest.mark.parametrize("value", ["soon", "31.12.2027", "20271231", "12026-01-01", "infinity"])
def test_an_end_of_keeping_that_is_beyond_or_unreadable_keeps(world: World, value: str) -> None:
    world.configure()
    made = world.conversation(45, plan="trial")
    said = {"id": made, "last_active_at": str(NOW - timedelta(days=45)), "keep_until": value}
    file = world.directory / "threads.jsonl"
    file.write_text(json.dumps(said | {"metadata": {"plan": "trial"}}), encoding="utf-8")
    assert world.run("import", str(file)).code == 0
    assert world.run("sweep").code == 0
    assert world.emulator.exists(made)
    single = world.run("hold", "add", "h", "--reason", "r", "--id", made, "--until", value)
    assert single.code == 2, "a hold that ends at no time is no hold"


def test_a_server_that_never_set_the_creation_leaves_it_unknown(world: World) -> None:
    world.configure("  - {name: all, default: true, delete: {after: 30d}, age_from: created}\n")
    made = world.emulator.add_conversation(created_at=EPOCH)
    assert world.run("import", "--id", made).code == 0
    assert world.run("sweep").code == 0
    assert world.emulator.exists(made)
    assert world.run("--output", "json", "list").document["threads"][0]["created_at"] is None


def test_an_import_says_how_many_fall_due_earlier_and_limits_count_them(world: World) -> None:
    world.configure()
    made = [world.conversation(45, plan="trial") for _ in range(30)]
    file = world.directory / "threads.jsonl"
    file.write_text("".join(json.dumps({"id": one}) + "\n" for one in made), encoding="utf-8")
    assert world.run("import", str(file)).code == 0
    assert world.run("sweep").code == 0  # the first sight dates them
    active = f"{NOW - timedelta(days=45):%Y-%m-%dT%H:%M:%SZ}"
    lines = (json.dumps({"id": one, "last_active_at": active}) + "\n" for one in made)
    file.write_text("".join(lines), encoding="utf-8")
    world.config.write_text(
        world.config.read_text(encoding="utf-8").replace("max_percent: 100", "max_percent: 10"),
        encoding="utf-8",
    )
    told = world.run("import", str(file))
    assert "30 threads fall due earlier" in told.out
    planned = world.run("--output", "json", "plan")
    assert planned.document["due_earlier"] == 30
    assert "30 threads fall due earlier" in world.run("plan").out
    assert world.run("sweep").code == 4
    assert all(world.emulator.exists(one) for one in made)
