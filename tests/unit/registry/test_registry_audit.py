from __future__ import annotations

import asyncio
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from janitor.errors import ConfigError, StoreError
from janitor.model import Copy, Hold, Key, Kind, Outcome, Stage
from janitor.policy.copy_retention import KeptCopy
from janitor.registry import (
    Event,
    PrunedCopy,
    Registered,
    Registration,
    Registry,
    RunResult,
    Settlement,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = Key("main", Kind.THREAD, "t")


def event(run: str, name: str = "deleted", outcome: Outcome = Outcome.DONE) -> Event:
    return Event(run, NOW, KEY, name, Stage.DELETE, outcome, "old", response_id="req_1")


def ran(registry: Registry, *events: str, at: datetime = NOW) -> str:
    run = registry.runs.start("sweep", "enforce", "digest", at)
    registry.runs.record([event(run.id, name) for name in events])
    registry.runs.close(run.id, RunResult.DONE, at + DAY)
    return run.id


def test_a_run_counts_what_its_events_say(registry: Registry) -> None:
    run = registry.runs.start("sweep", "enforce", "digest", NOW)
    assert [open_.id for open_ in registry.runs.unclosed()] == [run.id]
    registry.registrations.add([Registration(KEY)], NOW)
    said = [event(run.id), event(run.id, "kept", Outcome.KEPT), Event(run.id, NOW, KEY, "seen")]
    registry.settlements.settle([Settlement(KEY, NOW, events=tuple(said))])
    closed = registry.runs.close(run.id, RunResult.DONE, NOW + DAY)
    assert closed.counts == {"old/delete/done": 1, "old/delete/kept": 1}
    assert closed == registry.runs.get(run.id) == registry.runs.newest(1)[0]
    assert list(registry.runs.events(run.id)) == said == registry.runs.history(KEY)
    assert registry.runs.close(run.id, RunResult.FAILED, NOW) == closed
    assert registry.runs.totals() == {
        ("old", Stage.DELETE, Outcome.DONE): 1,
        ("old", Stage.DELETE, Outcome.KEPT): 1,
    }
    with pytest.raises(StoreError, match="no run"):
        registry.runs.close("unknown", RunResult.DONE, NOW)


def test_totals_go_on_over_runs(registry: Registry) -> None:
    for _ in range(3):
        ran(registry, "deleted", "deleted")
    assert registry.runs.totals() == {("old", Stage.DELETE, Outcome.DONE): 6}


def test_runs_are_chained(registry: Registry) -> None:
    first, second = ran(registry, "deleted"), ran(registry)
    one, two = registry.runs.get(first), registry.runs.get(second)
    assert one is not None
    assert two is not None
    assert (one.previous, two.previous) == (None, one.digest)
    assert one.digest != two.digest
    assert registry.runs.first_broken() is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "forgery",
    [
        "UPDATE event SET name = 'kept'",
        "DELETE FROM event WHERE number = 1",
        "UPDATE event SET outcome = 'kept' WHERE number = 1200",
        "UPDATE event SET response_id = NULL WHERE number = 7",
        (
            "INSERT INTO event (run, at, project, kind, id, name) "
            "SELECT run, at, project, kind, id, 'kept' FROM event WHERE number = 1"
        ),
        "UPDATE run SET counts = '{}'",
        "UPDATE run SET result = 'partial'",
        "UPDATE run SET command = 'x', digest = 'y'",
    ],
)
def test_a_forged_record_breaks_the_chain(registry: Registry, forgery: str) -> None:
    run = ran(registry, *["deleted"] * 1200)
    ran(registry)
    with registry.store.writing() as connection:
        connection.exec_driver_sql(forgery)
    assert registry.runs.first_broken() == run


def test_a_dropped_run_breaks_the_chain(registry: Registry) -> None:
    first, second = ran(registry), ran(registry)
    with registry.store.writing() as connection:
        connection.exec_driver_sql(f"DELETE FROM run WHERE id = '{first}'")  # noqa: S608
    assert registry.runs.first_broken() == second


@pytest.mark.parametrize("left", [1, 0])
def test_runs_that_are_gone_from_the_end_are_missed(registry: Registry, left: int) -> None:
    runs = [ran(registry, "deleted") for _ in range(2)]
    with registry.store.writing() as connection:
        for run in runs[left:]:
            connection.exec_driver_sql(f"DELETE FROM event WHERE run = '{run}'")  # noqa: S608
            connection.exec_driver_sql(f"DELETE FROM run WHERE id = '{run}'")  # noqa: S608
    assert registry.runs.first_broken() == runs[-1]


def test_runs_are_found_by_the_beginning_of_their_id(registry: Registry) -> None:
    ids = sorted(ran(registry) for _ in range(40))
    for run in ids:
        assert [one.id for one in registry.runs.like(run)] == [run]
        found = [one.id for one in registry.runs.like(run[:1], limit=40)]
        assert found == [one for one in ids if one[0] == run[0]]
    for wrong in ("", "x", "%", "_", ids[0] + "0", "\u0663"):
        assert registry.runs.like(wrong) == []


def test_a_command_is_known_to_have_run(registry: Registry) -> None:
    assert not registry.runs.has("sweep")
    ran(registry)
    assert (registry.runs.has("sweep"), registry.runs.has("swee")) == (True, False)


@pytest.mark.slow
def test_a_long_run_is_closed_read_and_verified_page_by_page(sqlite_url: str) -> None:
    with Registry.open(sqlite_url) as registry:
        short, long = (measured(registry, number) for number in (2_000, 20_000))
        assert long - short < 2 * 2**20, "memory grows with the run"
        assert registry.runs.first_broken() is None


def measured(registry: Registry, number: int) -> int:
    """The most memory, in bytes, that a run of so many events takes from its end on."""
    run = registry.runs.start("sweep", "enforce", "digest", NOW)
    for _ in range(number // 1000):
        registry.runs.record([event(run.id)] * 1000)
    tracemalloc.start()
    try:
        registry.runs.close(run.id, RunResult.DONE, NOW)
        assert next(registry.runs.events(run.id)).run == run.id
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_last_completed_sweep(registry: Registry) -> None:
    assert registry.runs.last_completed(NOW) is None
    ran(registry)
    for command, result in (
        ("sweep", RunResult.PARTIAL),
        ("sweep", RunResult.FAILED),
        ("apply", RunResult.DONE),
    ):
        run = registry.runs.start(command, "enforce", "digest", NOW)
        registry.runs.close(run.id, result, NOW + 2 * DAY)
    assert registry.runs.last_completed(NOW + 9 * DAY) == NOW + DAY
    assert registry.runs.last_completed(NOW) is None


def test_holds_are_told_until_long_after_their_end(registry: Registry) -> None:
    hold = Hold("case", "court", frozenset({"t"}), {"user": "u"}, NOW + 9 * DAY)
    registry.holds.add(hold, NOW, actor="ops")
    assert registry.holds.recent(NOW) == (hold,)
    with pytest.raises(ConfigError, match="exists"):
        registry.holds.add(hold, NOW)
    registry.holds.release("case", NOW + DAY, reason="settled")
    (released,) = registry.holds.recent(NOW + 2 * DAY)
    assert released.released_at == NOW + DAY
    assert registry.holds.recent(NOW + 9 * DAY, grace=7 * DAY) == ()
    with pytest.raises(ConfigError, match="no hold"):
        registry.holds.release("case", NOW, reason="again")
    registry.holds.add(hold, NOW + 3 * DAY)
    assert len(registry.holds.recent(NOW + 3 * DAY)) == 2


def test_policies_are_remembered(registry: Registry) -> None:
    assert registry.policies.decided_digest() is None
    registry.policies.set_redecide_cursor("b", KEY)
    assert registry.policies.redecide_cursor("b") == KEY
    assert registry.policies.redecide_cursor("c") is None
    registry.policies.set_decided_digest("b")
    assert (registry.policies.decided_digest(), registry.policies.redecide_cursor("b")) == (
        "b",
        None,
    )


def test_copies_are_remembered_until_they_are_pruned(registry: Registry) -> None:
    copy = Copy("p", "d", "s", 1, None, 9, NOW)
    registry.registrations.add([Registration(KEY)], NOW)
    registry.settlements.settle([Settlement(KEY, NOW, copy=copy, archive_keep_until=NOW + 9 * DAY)])
    registry.settlements.settle([Settlement(KEY, None, tombstone=True, events=(event("r"),))])
    assert registry.copies.past(NOW) == []
    assert registry.settlements.expire_tombstones(NOW + 9 * DAY) == 0
    [past] = registry.copies.past(NOW + 9 * DAY)
    assert (past.key, past.paths, past.until) == (KEY, ("p",), NOW + 9 * DAY)
    assert registry.copies.settle_prune([PrunedCopy(past, event("r"))]) == {KEY}
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert entry.thread.copy is None
    assert registry.settlements.expire_tombstones(NOW + 9 * DAY) == 1


def test_what_lives_again_has_no_copy_to_be_removed(registry: Registry) -> None:
    copy = Copy("p", "d", "s", 1, None, 9, NOW)
    registry.registrations.add([Registration(KEY)], NOW)
    registry.settlements.settle([Settlement(KEY, NOW, copy=copy, archive_keep_until=NOW)])
    assert registry.copies.past(NOW) == []
    past = KeptCopy(KEY, ("p",), NOW, NOW)
    assert registry.copies.intend_prune("r", [past]) == frozenset()
    assert registry.copies.settle_prune([PrunedCopy(past, event("r"))]) == frozenset()
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert entry.thread.copy == copy


def test_what_is_no_longer_named_is_not_removed(registry: Registry) -> None:
    copy = Copy("p", "d", "s", 1, None, 9, NOW)
    registry.registrations.add([Registration(KEY)], NOW)
    registry.settlements.settle([Settlement(KEY, NOW, copy=copy, archive_keep_until=NOW)])
    registry.settlements.settle([Settlement(KEY, None, tombstone=True, events=(event("r"),))])
    [past] = registry.copies.past(NOW)
    other = replace(past, paths=("q",))
    assert registry.copies.intend_prune("r", [other]) == frozenset()
    assert registry.copies.intend_prune("r", [past]) == {KEY}
    assert [one.run for one in registry.copies.past(NOW)] == ["r"]
    assert registry.copies.settle_prune((), [past]) == frozenset()
    assert [one.run for one in registry.copies.past(NOW)] == [None]


def test_a_copy_that_is_kept_for_ever_keeps_its_tombstone(registry: Registry) -> None:
    copy = Copy("p", "d", "s", 1, None, 9, NOW)
    registry.registrations.add([Registration(KEY)], NOW)
    registry.settlements.settle([Settlement(KEY, NOW, copy=copy)])
    registry.settlements.settle([Settlement(KEY, None, tombstone=True, events=(event("r"),))])
    assert registry.settlements.expire_tombstones(NOW + 9999 * DAY) == 0
    assert registry.copies.past(NOW + 9999 * DAY) == []


def test_threads_of_a_process_share_it(registry: Registry) -> None:
    def work(n: int) -> Registered:
        said = [Registration(Key("main", Kind.THREAD, f"t{n}-{m}")) for m in range(30)]
        return registry.registrations.add(said, NOW)

    async def together() -> list[Registered]:
        return await asyncio.gather(*(asyncio.to_thread(work, n) for n in range(16)))

    assert sum(asyncio.run(together()), Registered()) == Registered(added=480)
    assert sum(registry.threads.states().values()) == 480
