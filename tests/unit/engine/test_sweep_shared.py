"""What one janitor does about a sweep that another one has opened."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from postgres import Server
from sweep_world import DAY, DELETED, KEYS, NOW, World, enforced

from janitor.emulator import Emulator
from janitor.engine.breaker import Stop
from janitor.engine.lease import Lease
from janitor.engine.report import Report
from janitor.engine.sweep import Orders, sweep
from janitor.errors import ClaimLostError, LockedError
from janitor.model import State
from janitor.policy import Tripped, policies_digest
from janitor.policy.rules import Limits
from janitor.registry import Registry, RunRecord, RunResult


@dataclass
class Shared(World):
    """A world whose registry other janitors share."""

    address: str = ""

    @property
    def url(self) -> str:
        return self.address

    def join(self) -> Report:
        with self.registry.lock(timedelta(), shared=True):
            return self.run(lambda context: sweep(context, Orders(), threading.Event()))

    @contextmanager
    def opened(self, *, digest: str | None = None) -> Iterator[RunRecord]:
        """A sweep that another janitor has opened and works."""
        digest = policies_digest(self.policies) if digest is None else digest
        with Registry.open(self.url) as other:
            run = other.runs.start("sweep", self.policies.mode, digest, NOW)
            with other.working(run.id):
                yield run


@pytest.fixture
def shared(tmp_path: Path, postgres: Server) -> Iterator[Shared]:
    server = Emulator(KEYS)
    server.clock.set(NOW)
    policies = enforced(DELETED, limits=Limits(max_percent=100.0))
    with postgres.database() as name, server.serve() as served:
        world = Shared(tmp_path, server, served.base_url, policies, address=postgres.url(name))
        yield world
        world.close()


def test_a_sweep_of_its_own_ends_as_on_one_machine(shared: Shared) -> None:
    keys = [shared.add() for _ in range(5)]
    report = shared.join()
    assert report.run.result is RunResult.DONE
    assert {shared.state(key) for key in keys} == {State.DELETED}
    assert shared.registry.runs.unclosed() == []


def test_an_open_sweep_is_joined_and_closed_by_who_finds_nothing_left(shared: Shared) -> None:
    key = shared.add()
    with shared.opened() as run:
        shared.registry.runs.mark_ready(run.id, [], NOW)
        report = shared.join()
    assert (report.run.id, report.run.result) == (run.id, RunResult.DONE)
    assert shared.state(key) is State.DELETED


def test_who_joins_heeds_the_limits_that_were_counted(shared: Shared) -> None:
    key = shared.add()
    over = Tripped("max_percent", "deleted", 9, 1, 10)
    with shared.opened() as run:
        shared.registry.runs.mark_ready(run.id, [asdict(over)], NOW)
        report = shared.join()
    assert (report.run.result, report.exit_code) == (RunResult.LIMITED, 4)
    assert dict(report.kept) == {"limit": 1}
    assert (shared.state(key), shared.changing_calls()) == (State.ACTIVE, [])


def test_who_joins_heeds_what_others_stopped(shared: Shared) -> None:
    key = shared.add()
    stop = Stop("main", "unauthorised", "the key was refused", 3)
    with shared.opened() as run:
        shared.registry.runs.mark_ready(run.id, [], NOW)
        shared.registry.runs.note_stop(run.id, stop.note())
        report = shared.join()
    assert (report.run.result, report.stops) == (RunResult.FAILED, (stop,))
    assert (shared.state(key), list(shared.server.log)) == (State.ACTIVE, [])


def test_what_one_stops_is_told_to_all(shared: Shared) -> None:
    shared.add()
    shared.keys = {"main": "sk-wrong"}
    report = shared.join()
    assert report.exit_code == 3
    assert [note["project"] for note in report.run.stops] == ["main"]


def test_a_sweep_under_other_policies_is_not_joined(shared: Shared) -> None:
    shared.add()
    with shared.opened(digest="other") as run:
        shared.registry.runs.mark_ready(run.id, [], NOW)
        with pytest.raises(LockedError, match="the same configuration"):
            shared.join()
    assert shared.changing_calls() == []


@pytest.mark.parametrize("ready", [True, False])
def test_a_sweep_whose_janitors_died_is_closed_and_begun_anew(
    shared: Shared, *, ready: bool
) -> None:
    key = shared.add()
    with shared.opened() as run:
        pass
    if ready:
        shared.registry.runs.mark_ready(run.id, [], NOW)
    report = shared.join()
    assert report.run.id != run.id
    assert shared.state(key) is State.DELETED
    assert [one.result for one in shared.registry.runs.newest()] == [
        RunResult.DONE,
        RunResult.FAILED,
    ]
    assert shared.registry.runs.first_broken() is None


def test_an_opener_that_died_before_it_counted_is_replaced_beside_others(shared: Shared) -> None:
    key = shared.add()
    with shared.opened() as run:
        assert shared.join().run.id != run.id
    assert shared.state(key) is State.DELETED


def test_a_lease_that_ran_out_stays_so() -> None:
    lease = Lease(timedelta(0), lambda: None)
    with pytest.raises(ClaimLostError, match="it stopped"):
        lease.check()
    Lease(None, lambda: None).check()
    assert not Lease(DAY, lambda: None).is_over
