"""Commands over two projects of which one fails: the other one is done, and this one is named."""

from __future__ import annotations

import threading

import pytest
from world import KEY, KEY_VARIABLE

from janitor.app.clock import Time
from janitor.app.open_registry import open_registry
from janitor.app.service_loop import ServiceLoop
from janitor.config import load
from janitor.metrics import Metrics
from projects.two_projects import (
    EVERY,
    NOT_THERE,
    REFUSED,
    UNREADABLE,
    Broken,
    Pair,
)

EACH = pytest.mark.parametrize("how", EVERY, ids=str)
QUICK = pytest.mark.parametrize("how", [REFUSED, UNREADABLE, NOT_THERE], ids=str)
MARKED = (
    "  - {name: marked, default: true, soft_delete: {after: 10d, mark: upstream},\n"
    "     delete: {after: 200d}}\n"
)


@EACH
def test_apply_carries_out_what_the_plan_says_of_the_others(pair: Pair, how: Broken) -> None:
    theirs, mine = pair.put("legal", 2), pair.put("main", 2)
    file = pair.directory / "plan.json"
    assert pair.run("plan", "-o", str(file)).code == 0
    with pair.broken(how):
        done = pair.run("apply", str(file))
        assert done.code == (3 if how.code == 3 else 1)
        assert done.err.count(how.said) == 1
    assert pair.kept(mine) == 0
    assert pair.kept(theirs) == 2


@QUICK
def test_a_hold_copies_those_of_the_others(pair: Pair, how: Broken) -> None:
    [theirs], [mine] = pair.put("legal", 1), pair.put("main", 1)
    with pair.broken(how):
        ids = ("--id", theirs, "--id", mine)
        done = pair.run("--output", "json", "hold", "add", "court", "--reason", "r", *ids)
        assert done.code == (3 if how.code == 3 else 1)
        assert done.err.count(how.said) == 1
        assert "hold copy court" in done.err
    assert (done.document["copied"], done.document["uncopied"]) == (1, 1)


@QUICK
@pytest.mark.parametrize("dry", [True, False])
def test_tag_reaches_the_others(pair: Pair, how: Broken, *, dry: bool) -> None:
    pair.put("legal", 3)
    mine = pair.put("main", 2)
    with pair.broken(how):
        done = pair.run("--output", "json", "tag", *(["--dry-run"] if dry else []))
        assert done.code == (3 if how.code == 3 else 1)
        assert done.err.count(how.said) == 1
    assert done.document["tagged"] == 2
    assert sum(done.document["kept"].values()) == 3
    assert all(bool(pair.emulator.metadata(one)) != dry for one in mine)


@QUICK
def test_restore_goes_on_with_the_others(pair: Pair, how: Broken) -> None:
    theirs, mine = pair.put("legal", 2), pair.put("main", 2)
    pair.settle(MARKED)
    assert pair.run("sweep").code == 0
    ids = [theirs[0], mine[0], theirs[1], mine[1]]
    with pair.broken(how, MARKED):
        done = pair.run("--output", "json", "restore", *ids)
        assert done.code == (3 if how.code == 3 else 1)
        assert done.document["restored"] == mine
        assert [row["id"] for row in done.document["failed"]] == theirs
        assert all("legal" in row["error"] for row in done.document["failed"])
        assert how.said in done.err
        assert "janitor restore" in done.err
    states = pair.states()
    assert {states[one] for one in mine} == {"active"}
    assert {states[one] for one in theirs} == {"soft_deleted"}


@EACH
def test_lists_of_the_others_are_walked(pair: Pair, how: Broken) -> None:
    pair.emulator.lists_all = True
    mine = pair.emulator.add_conversation(project="main", items=1)
    with pair.broken(how):
        done = pair.run("--output", "json", "sync", "--discover")
        assert done.code == (3 if how.code == 3 else 1)
        assert done.err.count(how.said) == 1
    walked = [(row["project"], row["ended"]) for row in done.document["lists"]]
    assert walked == [("legal", "failed")] + [("main", "whole")] * 4
    assert mine in pair.states()


@QUICK
def test_doctor_looks_at_the_others(pair: Pair, how: Broken) -> None:
    pair.put("main", 1)
    with pair.broken(how):
        done = pair.run("--output", "json", "doctor")
    found = [(row["verdict"], row["says"]) for row in done.document["findings"]]
    assert any(verdict == "fail" and how.said in says for verdict, says in found)
    checks = [row for row in done.document["findings"] if row["check"] == "access main"]
    assert {row["verdict"] for row in checks} == {"ok"}


@QUICK
def test_what_asks_no_server_needs_no_project(pair: Pair, how: Broken) -> None:
    [theirs], [mine] = pair.put("legal", 1), pair.put("main", 1)
    with pair.broken(how):
        assert pair.run("import", "--id", "conv_new", "--project", "legal").code == 0
        assert set(pair.states()) == {theirs, mine, "conv_new"}
        for command in (("explain", theirs), ("archive", "prune"), ("runs",), ("missing", "list")):
            assert pair.run(*command).code == 0, command


def test_a_plan_that_waits_for_a_pause_holds_up_no_other(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    [theirs] = pair.put("legal", 1)
    legal, main = (str(pair.directory / name) for name in ("legal.json", "main.json"))
    pair.run("plan", "-o", legal)
    [mine] = pair.put("main", 1)
    assert pair.run("pause", "--project", "legal", "--reason", "r").code == 0
    pair.run("plan", "-o", main)
    for file in (legal, main):
        assert pair.run("apply", file, "--detach").code == 0
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    config = load(pair.config)
    with open_registry(config) as registry:
        live = ServiceLoop(pair.config, config, registry, Metrics(), Time())
        for _ in range(2):
            live.errand(threading.Event())
    assert not pair.emulator.exists(mine)
    assert pair.emulator.exists(theirs)
