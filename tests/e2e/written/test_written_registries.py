"""Registries of earlier programs, on both engines: every row is found, and decides as it did."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from postgres import Server

from janitor.model import Key, Kind, State
from janitor.policy import policies_digest
from janitor.policy.codec import load
from janitor.registry import Registry
from janitor.sources.watermark import memories
from written.writings import (
    EARLY,
    TODAY,
    Written,
    fill_postgresql,
    fill_sqlite,
    hours,
    made_at,
    move_archive,
    rows_of,
    said,
    unpack_file,
    world_of,
)

WHERE = [(v, e) for v in (EARLY, TODAY) for e in ("sqlite", "postgresql")] + [(EARLY, "file")]
PAUSE = "policy:stopped"
UNSETTLED = {"conv_busy", "conv_failing", "conv_deleting"}
"""Tried before, and tried again when their rest is over: by whichever sweep comes then."""
EXPLAINED = (
    *("kind", "state", "created_at", "last_active_at", "metadata", "items", "keep_until"),
    *("soft_deleted_at", "deleted_at", "source", "vanished_at"),
)
DECIDED = ("stages", "policy", "reason", "due_at", "age_base")


@pytest.fixture(params=WHERE, ids="-".join)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Written]:
    version, engine = request.param
    if engine == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        with server.database() as name:
            fill_postgresql(version, server, name)
            yield from ready(tmp_path, version, engine, server.url(name))
        return
    file = tmp_path / "janitor.db"
    (unpack_file if engine == "file" else fill_sqlite)(version, file)
    yield from ready(tmp_path, version, "sqlite", f"sqlite:///{file}")


def ready(directory: Path, version: str, engine: str, url: str) -> Iterator[Written]:
    with world_of(directory, version, engine, url) as world:
        move_archive(url, world.archive)
        yield Written(version, engine, url, world)


def as_told(document: Mapping[str, Any], since: datetime) -> object:
    """What is known of a thread and decided about it; that it is paused was not said at first."""
    told: dict[str, object] = {name: document[name] for name in EXPLAINED}
    told |= {name: document["decision"][name] for name in DECIDED}
    told["kept_by"] = [one for one in document["kept_by"] if one["by"] != PAUSE]
    if told["reason"] == "paused":
        told["reason"] = None
    return hours(told, since)


def test_an_upgrade_leaves_every_row_as_it_was(written: Written) -> None:
    before = rows_of(written.url)
    assert [name for name, rows in before.items() if not rows] == [], "a table without a row"
    done = written.world.run("db", "upgrade")
    assert done.code == 0, done.err
    after = rows_of(written.url)
    assert after.pop("janitor_schema") != [{"version_num": "0000"}]
    for name, rows in before.items():
        if name in ("janitor_schema", "sqlite_sequence"):
            continue
        spelled = [{column: row[column] for column in rows[0]} for row in after[name]]
        assert all(row in spelled for row in rows), name


def test_every_thread_is_known_and_decided_as_before(written: Written) -> None:
    written.world.run("db", "upgrade")
    expected = json.loads(said(written.version, "explain.json"))
    assert {one["state"] for one in expected.values()} == set(State)
    for name, document in expected.items():
        (found,) = written.json("explain", name)["threads"]
        was = as_told(document, made_at(written.version, "sqlite"))
        assert as_told(found, written.made_at) == was, name
        history = [[e[n] for n in ("name", "stage", "outcome", "policy")] for e in found["history"]]
        assert history[: len(document["history"])] == [e[:4] for e in document["history"]]


def test_holds_pauses_approvals_and_runs_are_what_they_were(written: Written) -> None:
    written.world.run("db", "upgrade")
    holds = {hold["name"]: hold for hold in written.json("hold", "list")["holds"]}
    assert holds["matter-1"]["ids"] == ["conv_held_id", "conv_not_yet"]
    assert holds["matter-2"]["metadata"] == {"case": "4711"}
    assert holds["matter-3"]["released_at"] is not None
    with Registry.open(written.url) as registry:
        assert {pause.scope for pause in registry.pauses.in_force(datetime.now(UTC))} == {
            "policy:stopped",
            "project:elsewhere",
        }
        approval, proposal = registry.policies.approval(), registry.policies.unapproved()
        assert approval is not None
        assert approval.reason == "ticket 17"
        assert policies_digest(load(approval.document)) == approval.digest
        assert proposal is not None
        assert proposal.threads == {"waiting": 1}
        assert registry.runs.first_broken() is None
        runs = registry.runs.newest()
        assert [run.command for run in registry.runs.unclosed()] == ["sweep"]
        assert all(list(registry.runs.events(run.id)) or run.counts is not None for run in runs)
        mark = memories(registry)["chats"].mark
        assert mark is not None
        assert mark.at == written.made_at - timedelta(days=90)
        assert registry.scans.cursor("list:main:chatkit_thread") == "cthr_copied"


def test_the_inbox_goes_on_where_it_stood(written: Written) -> None:
    with Registry.open(written.url) as registry:
        drained = registry.inbox.drain(datetime.now(UTC))
        assert (drained.judged, drained.refused) == (4, 0)
        known = registry.threads.get(Key("main", Kind.CONVERSATION, "conv_inbox"))
        assert known is not None
        assert known.thread.keep_until == datetime(2999, 1, 1, tzinfo=UTC)
        gone = registry.threads.get(Key("main", Kind.CONVERSATION, "conv_unmatched"))
        assert gone is not None
        assert gone.review_at is not None, "the server is asked whether it is gone"


def test_a_plan_says_what_it_said(written: Written) -> None:
    written.world.run("db", "upgrade")
    at = (written.made_at + timedelta(days=1)).isoformat()
    done = written.world.run("--output", "json", "plan", "--at", at)
    assert done.code in (0, 1), done.err  # 1 where the copy of a removal that was begun is gone
    decided = done.document["decisions"]
    stages = {one["id"]: one["stages"] for one in decided if one["id"] not in UNSETTLED}
    assert stages == {
        "conv_due": ["archive", "delete"],
        "conv_new": ["archive", "delete"],
        "conv_stopped": ["delete"],
        "conv_waiting": ["delete"],
    }
    reasons = {one["id"]: one["reason"] for one in decided}
    assert (reasons["conv_stopped"], reasons["conv_waiting"]) == ("paused", "unapproved")


def test_a_sweep_does_what_was_due_and_nothing_else(written: Written) -> None:
    expected = json.loads(said(written.version, "explain.json"))
    states = {name: one["state"] for name, one in expected.items()}
    states |= {"conv_due": "deleted", "conv_new": "deleted", "conv_drained": "missing"}
    done = written.world.run("sweep", "--wait", "60s")
    assert done.code in (0, 1), done.err
    found = written.world.states()
    settled = states.keys() - UNSETTLED
    assert {name: found[name] for name in settled} == {name: states[name] for name in settled}
    removed = {change.split("/")[2] for change in written.world.changes}
    assert removed <= {"conv_due", "conv_new", *UNSETTLED}
