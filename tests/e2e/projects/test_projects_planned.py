"""A plan of two projects of which one fails: the other one is planned, and this one is named."""

from __future__ import annotations

import pytest

from janitor.emulator import Fault, How
from projects.two_projects import (
    ELSEWHERE,
    EVERY,
    NOT_THERE,
    REFUSED,
    SILENT,
    UNREADABLE,
    Broken,
    Pair,
)

EACH = pytest.mark.parametrize("how", EVERY, ids=str)
MANY = 24
MOST_ASKED = 10 + 9
"""Ten failures end it, and as each of the first nine comes, another of ten calls at once begins."""


@EACH
def test_the_others_are_planned_and_the_exit_is_that_of_a_sweep(pair: Pair, how: Broken) -> None:
    theirs, mine = sorted(pair.put("legal", MANY)), sorted(pair.put("main", 2))
    file = pair.directory / "plan.json"
    with pair.broken(how):
        done = pair.run("--output", "json", "plan", "-o", str(file))
        assert done.code == how.code
        assert done.err.count(how.said) == 1
        assert "project legal" in done.err
        assert "janitor plan" in done.err
        plan = done.document
        assert sorted(row["id"] for row in plan["decisions"]) == mine
        unanswered = plan["unanswered"]
        assert sorted(row["id"] for row in unanswered) == theirs
        assert {row["project"] for row in unanswered} == {"legal"}
        assert {(row["stage"], row["policy"]) for row in unanswered} == {("delete", "old")}
        assert plan["kept"]["not_asked"] >= MANY - MOST_ASKED
        assert plan["kept"]["not_asked"] + plan["kept"].get("failed", 0) == MANY
        [stop] = plan["stops"]
        assert (stop["project"], stop["exit_code"]) == ("legal", how.code)
        assert how.said in stop["message"]
        swept = pair.run("sweep")
        assert swept.code == how.code
        assert how.said in swept.err
    assert pair.kept(mine) == 0
    assert pair.kept(theirs) == MANY


@EACH
def test_a_saved_plan_never_applies_what_was_not_looked_at(pair: Pair, how: Broken) -> None:
    theirs, mine = pair.put("legal", 12), pair.put("main", 2)
    file = pair.directory / "plan.json"
    with pair.broken(how):
        pair.run("plan", "-o", str(file))
    pair.settle()
    done = pair.run("apply", str(file))
    assert done.code == 0, done.err
    assert pair.kept(mine) == 0
    assert pair.kept(theirs) == 12


@pytest.mark.parametrize("how", [NOT_THERE, SILENT], ids=str)
def test_few_that_give_no_answer_are_named_with_the_cause(pair: Pair, how: Broken) -> None:
    theirs, mine = sorted(pair.put("legal", 3)), pair.put("main", 1)
    with pair.broken(how):
        done = pair.run("--output", "json", "plan")
        assert done.code == 1
        assert done.err.count(how.said) == 1
        assert "project legal: 3 threads were asked for and none was answered" in done.err
        assert sorted(row["id"] for row in done.document["unanswered"]) == theirs
        assert all(how.said in row["error"] for row in done.document["unanswered"])
        assert [row["id"] for row in done.document["decisions"]] == mine
        assert pair.run("sweep").code == 1


def test_one_that_gives_no_answer_is_named_with_the_cause(pair: Pair) -> None:
    bad, *good = pair.put("legal", 3)
    pair.emulator.add_fault(Fault(How.STATUS, path=f"*/{bad}*", status=500))
    done = pair.run("plan")
    assert done.code == 1
    assert "project legal: 1 thread could not be checked and is kept" in done.err
    assert "HTTP 500" in done.err
    rows = pair.run("--output", "json", "plan").document
    assert [row["id"] for row in rows["unanswered"]] == [bad]
    assert {row["id"] for row in rows["decisions"]} == set(good)
    assert pair.run("sweep").code == 1


def test_a_table_names_what_is_planned_and_what_is_not(pair: Pair) -> None:
    theirs, mine = pair.put("legal", 3), pair.put("main", 2)
    with pair.broken(UNREADABLE):
        done = pair.run("plan")
    assert done.code == 3
    planned, _, unanswered = done.out.partition("Not in this plan")
    assert all(one in planned for one in mine)
    assert all(one in unanswered for one in theirs)
    assert "Kept: not_asked 3." in done.out
    assert "Next: janitor sweep" in done.out


def test_a_plan_of_nothing_else_says_so(pair: Pair) -> None:
    pair.put("legal", 2)
    with pair.broken(REFUSED):
        done = pair.run("plan")
    assert done.code == 3
    assert "Nothing else is due." in done.out


def test_what_is_not_asked_uses_up_no_probe_of_the_others(pair: Pair) -> None:
    pair.put("legal", 30)
    mine = pair.put("main", 5)
    with pair.broken(UNREADABLE):
        plan = pair.run("--output", "json", "plan", "--probe", "6").document
    assert plan["not_probed"] == 0
    assert [row["probed"] for row in plan["decisions"]] == [True] * len(mine)


def test_a_plan_that_asks_nobody_needs_no_project(pair: Pair) -> None:
    pair.put("legal", 12)
    with pair.broken(REFUSED):
        done = pair.run("--output", "json", "plan", "--offline")
    assert done.code == 0
    assert len(done.document["decisions"]) == 12


def test_a_removal_that_was_begun_is_told_of_the_others(pair: Pair) -> None:
    theirs, mine = pair.put("legal", 1), pair.put("main", 1)
    pair.emulator.add_fault(Fault(How.RESET, method="DELETE", path="*/items/*"))
    pair.run("sweep")
    assert set(pair.states().values()) == {"deleting"}
    pair.emulator.clear_faults()
    with pair.broken(REFUSED):
        done = pair.run("--output", "json", "plan")
        assert done.code == 3
        told = {row["id"]: row for row in done.document["unfinished"]}
        assert told[theirs[0]]["kept"] == "not_asked"
        assert told[mine[0]]["items"] is not None


def test_a_key_of_another_account_is_told_as_a_sweep_tells_it(pair: Pair) -> None:
    theirs, mine = pair.put("legal", 12), pair.put("main", 2)
    with pair.broken(ELSEWHERE):
        done = pair.run("--output", "json", "plan")
        assert done.code == 4
        assert done.err.count("answered 'not found'") == 1
        assert "none of its threads was ever seen alive" in done.err
        assert {row["id"] for row in done.document["decisions"]} == set(mine)
        swept = pair.run("sweep")
        assert swept.code == 4
    assert pair.kept(theirs) == 12


def test_threads_that_are_gone_beside_living_ones_are_told_as_a_sweep_does(pair: Pair) -> None:
    here, mine = pair.put("legal", 2, age=1), pair.put("main", 1)
    assert pair.run("sweep").code == 0  # which sees them alive
    gone = [f"conv_{number:032x}" for number in range(12)]
    pair.register_keys("legal", gone)
    later = pair.put("main", 1)
    done = pair.run("--output", "json", "plan")
    assert done.code == 4
    assert (
        "so the key and endpoint are right, and those threads are gone. A sweep records them"
        in done.err
    )
    assert [row["id"] for row in done.document["decisions"]] == later
    assert done.document["kept"]["missing"] == 12
    swept = pair.run("sweep")
    assert swept.code == 4
    assert "they are now `missing`" in swept.err
    assert pair.kept([*here, *mine, *later]) == 2
