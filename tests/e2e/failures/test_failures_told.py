"""What a person is told of failures: after every sweep, by every command, with the cause."""

from __future__ import annotations

import pytest
from world import World

from janitor.emulator import Fault, How

SENTENCE = "a sentence of the server about somebody"
REFUSED = Fault(
    How.STATUS,
    method="DELETE",
    status=500,
    body={"error": {"type": "server_error", "message": SENTENCE, "code": None}},
)


def test_a_deletion_that_is_refused_is_told_by_every_command(world: World) -> None:
    ids = sorted(world.fill(2))
    world.emulator.add_fault(REFUSED)
    texts = []
    for _ in range(3):
        done = world.run("sweep")
        assert done.code == 1
        assert "project main: 2 threads are due and failed" in done.err
        assert "HTTP 500 server_error" in done.err
        assert "janitor list --failed" in done.err
        texts += [done.out, done.err]

        listed = world.run("list", "--failed")
        assert all(one in listed.out for one in ids)
        assert "janitor explain ID" in listed.out
        rows = world.run("--output", "jsonl", "list", "--failed").lines
        assert [row["id"] for row in rows] == ids
        assert {row["attempts"] for row in rows} == {1}
        assert {row["last_outcome"] for row in rows} == {"failed"}
        assert all("HTTP 500" in row["last_error"] for row in rows)
        assert [row["next"] for row in rows] == [f"janitor explain {one}" for one in ids]
        texts.append(listed.out)
        (told,) = world.run("--output", "json", "explain", ids[0]).document["threads"]
        assert told["next"] == "janitor sweep"

    plan = world.run("plan")
    assert "Due, but waiting after an attempt that failed or found it in use" in plan.out
    assert "Nothing else is due." in plan.out
    failing = world.run("--output", "json", "plan").document["failing"]
    assert sorted(row["id"] for row in failing) == ids
    assert all(row["retried_at"] and row["attempts"] == 1 for row in failing)
    explained = world.run("explain", ids[0])
    assert "HTTP 500" in explained.out
    assert "Its last attempt failed" in explained.out
    texts += [plan.out, explained.out]
    assert SENTENCE not in "".join(texts)


def test_what_is_in_use_is_told_after_every_sweep_and_is_no_failure(world: World) -> None:
    ids = sorted(world.fill(2))
    world.emulator.add_fault(Fault(How.STATUS, method="DELETE", status=409))
    for _ in range(3):
        done = world.run("sweep")
        assert done.code == 0
        assert "project main: 2 threads are due and in use. Retried from" in done.err
        document = world.run("--output", "json", "sweep").document
        assert document["failures"] == []
        assert [one["threads"] for one in document["in_use"]] == [2]
    plan = world.run("--output", "json", "plan").document["failing"]
    assert sorted(row["id"] for row in plan) == ids
    assert all(row["in_use"] for row in plan)
    assert "Nothing else is due." in world.run("plan").out


def test_a_sweep_as_json_and_as_a_log_tell_the_cause(world: World) -> None:
    ids = world.fill(2)
    world.emulator.add_fault(REFUSED)
    world.run("sweep")
    done = world.run("--output", "json", "sweep")
    [failed] = done.document["failures"]
    assert (failed["project"], failed["threads"]) == ("main", 2)
    assert "HTTP 500" in failed["cause"]
    assert failed["next"] == "janitor list --failed"
    assert any(one in failed["cause"] for one in ids)
    history = world.run("--output", "json", "explain", ids[0]).document["threads"][0]["history"]
    [event] = [one for one in history if one["name"] == "failed"]
    assert "HTTP 500" in event["reason"]


@pytest.mark.slow
def test_verbose_says_what_failed_and_not_the_name_of_a_class(world: World) -> None:
    world.fill(1)
    world.emulator.add_fault(Fault(How.NULL, method="GET"))
    done = world.process("-v", "sweep")
    assert done.code == 1
    assert "HTTP 200 without an object" in done.err
    assert "RefusedError" not in done.err


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (Fault(How.STATUS, status=500), 4, "HTTP 500"),
        (Fault(How.NULL), 4, "HTTP 200 without an object"),
        (Fault(How.STATUS, status=404, body={"detail": "x"}), 4, "a 404 that is not from the API"),
        pytest.param(Fault(How.RESET), 4, "no answer from 127.0.0.1", marks=pytest.mark.slow),
        (Fault(How.STATUS, status=401), 3, "HTTP 401"),
        (
            Fault(
                How.STATUS,
                status=429,
                body={"error": {"code": "insufficient_quota", "type": "q", "message": "m"}},
            ),
            3,
            "insufficient_quota",
        ),
        (
            Fault(
                How.STATUS,
                status=404,
                body={"error": {"code": None, "type": "invalid_request_error", "message": "m"}},
            ),
            4,
            "answered 'not found'",
        ),
    ],
)
def test_every_stop_says_its_cause_and_the_next_command(
    world: World, fault: Fault, code: int, said: str
) -> None:
    world.fill(20)
    world.emulator.add_fault(fault)
    done = world.run("sweep")
    assert done.code == code
    assert said in done.err
    assert "janitor sweep" in done.err or "janitor plan" in done.err
    run = world.run("--output", "json", "runs").document["runs"][0]
    assert any(said in stop["message"] for stop in run["stops"])


def test_an_archive_that_fails_says_why(world: World) -> None:
    world.fill(2)
    world.archive.write_text("no directory")
    done = world.run("sweep")
    assert done.code == 3
    assert "Policies that archive are paused" in done.err
    assert "janitor sweep" in done.err
