"""What the service logs: lines for people, objects for machines, one per thread and per run."""

from __future__ import annotations

import re

from world import World, until

from serve.serving import Start, scheduled


def test_json_has_a_line_per_thread_and_per_run_with_fields(world: World, serving: Start) -> None:
    scheduled(world)
    ids = world.fill(2)
    one = serving("--log-format", "json")
    until(lambda: one.sweeps() == 1)
    assert one.stop() == 0
    deleted = [line for line in one.lines if line.get("event") == "deleted"]
    assert sorted(line["id"] for line in deleted) == sorted(ids)
    (run,) = {line["run"] for line in deleted}
    assert {line["policy"] for line in deleted} == {"trial-chats"}
    (summary,) = [line for line in one.lines if "result" in line]
    assert (summary["run"], summary["result"], summary["done"]) == (run, "done", 4)
    assert all(re.match(r"\d{4}-\d\d-\d\dT.*(\+00:00|Z)$", line["at"]) for line in one.lines)
    assert {line["level"] for line in one.lines} == {"INFO"}


def test_text_is_a_line_each_and_libraries_keep_quiet(world: World, serving: Start) -> None:
    scheduled(world, "1s")
    ids = world.fill(1)
    world.conversation(plan="trial")
    one = serving()
    until(lambda: one.sweeps() >= 2)
    one.get("/nothing")
    assert one.stop() == 0
    lines = one.text.splitlines()
    shape = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (INFO|WARNING|ERROR) \S")
    assert not [line for line in lines if not shape.match(line)]
    assert len([line for line in lines if f"deleted conversation/{ids[0]} " in line]) == 1
    assert re.search(
        rf"deleted conversation/{ids[0]} policy=trial-chats .*run=[0-9a-f]{{32}}", one.text
    )
    assert not re.search("apscheduler|uvicorn|watchfiles|Uvicorn|Traceback", one.text)


def test_a_mistake_that_is_not_ours_has_no_traceback(world: World, serving: Start) -> None:
    scheduled(world, "1s")
    world.fill(1)
    world.archive.write_text("in the way of the archive's directory")
    one = serving()
    until(lambda: " ERROR " in one.text)
    assert one.get("/healthz")[0] == 200
    assert one.stop() == 0
    assert "Traceback" not in one.text
