"""Signals, reloads and rotated keys, with real processes."""

from __future__ import annotations

import re
import signal

import pytest
from world import KEY, World, until

from serve.serving import Serving, Start, scheduled

THREADS = 16


def deleting(world: World) -> bool:
    return any(entry.method == "DELETE" for entry in world.emulator.log)


def busy(world: World, serving: Start, latency: float, more: str = "") -> Serving:
    """A service in the middle of its first sweep."""
    world.fill(THREADS)
    scheduled(world, more=more)
    world.emulator.latency = latency
    one = serving()
    until(lambda: deleting(world))
    return one


def assert_a_call_is_unanswered(world: World) -> None:
    assert not all(entry.status for entry in world.emulator.log), "it waited for an answer"


def assert_the_next_run_does_the_rest(world: World) -> None:
    """A call that was cut off may reach the server yet; what it changes is looked at once more."""
    world.emulator.latency = 0
    until(lambda: all(entry.status for entry in world.emulator.log))  # what it does, it has done
    for _ in range(2):
        assert world.run("sweep").code == 0
    assert set(world.states().values()) == {"deleted"}
    assert not world.emulator.ids()
    assert set(world.emulator.deletes.values()) == {1}, "nothing was deleted twice"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_calls_in_flight_finish_and_exits_0(
    world: World, serving: Start, signum: int
) -> None:
    one = busy(world, serving, 0.05)
    assert one.stop(signum) == 0
    assert "partial" in one.text
    assert "Traceback" not in one.text
    assert {entry.status for entry in world.emulator.log} == {200}, "no call was cut off"
    states = world.states()
    deleted = {name for name, state in states.items() if state == "deleted"}
    assert deleted == set(states) - set(world.emulator.ids())
    assert 0 < len(deleted) < THREADS
    assert_the_next_run_does_the_rest(world)


def test_calls_that_outlast_stop_timeout_are_left_to_the_next_run(
    world: World, serving: Start
) -> None:
    one = busy(world, serving, 1.5, more="stop_timeout: 1s")
    world.emulator.latency = 20
    assert one.stop() == 0
    assert_a_call_is_unanswered(world)
    assert "the next run recovers them" in one.text
    assert_the_next_run_does_the_rest(world)


def test_a_second_signal_ends_it_at_once_and_the_next_run_recovers(
    world: World, serving: Start
) -> None:
    world.fill(THREADS)
    scheduled(world)
    world.emulator.latency = 3
    one = serving()
    until(
        lambda: bool(world.emulator.log)
    )  # the first reads: what is asked after them takes longer
    world.emulator.latency = 20
    asked = len(world.emulator.log)
    until(lambda: len(world.emulator.log) > max(asked, THREADS))  # it outlasts both signals
    one.process.send_signal(signal.SIGTERM)
    until(lambda: one.get("/healthz")[0] == 200)
    assert one.stop() == 128 + signal.SIGTERM
    assert_a_call_is_unanswered(world)
    assert_the_next_run_does_the_rest(world)


def test_an_idle_service_stops_at_once(world: World, serving: Start) -> None:
    scheduled(world)
    one = serving()
    until(lambda: one.sweeps() == 1)
    assert one.stop() == 0
    assert one.text.rstrip().endswith("stopped")


def reloaded(one: Serving) -> float | None:
    return one.metric("janitor_config_last_reload_successful")


def test_a_reload_takes_new_policies_and_an_invalid_file_keeps_the_old(
    world: World, serving: Start
) -> None:
    world.configure(mode="audit")
    scheduled(world, "1s")
    ids = world.fill(2)
    one = serving()
    until(lambda: one.sweeps() >= 1)
    good = world.config.read_text(encoding="utf-8")
    world.config.write_text(good.replace("after: 30d", "after: 30 moons"), encoding="utf-8")
    one.process.send_signal(signal.SIGHUP)
    until(lambda: reloaded(one) == 0)
    status, sentence = one.get("/readyz")
    assert status == 503
    assert re.search(r"janitor\.yaml:\d+:\d+ policies\[0\]\.delete\.after", sentence)
    assert re.search(r"old one stays in force: .*janitor\.yaml:\d+:\d+ policies\[0\]", one.text)
    assert one.get("/healthz")[0] == 200
    before = one.sweeps()
    until(lambda: one.sweeps() > before)
    assert world.emulator.ids() == ids
    world.config.write_text(good.replace("mode: audit", "mode: enforce"), encoding="utf-8")
    until(lambda: reloaded(one) == 1)
    until(lambda: not world.emulator.ids())
    assert one.get("/readyz") == (200, "ok")
    assert one.stop() == 0


def test_a_changed_schedule_takes_effect(world: World, serving: Start) -> None:
    scheduled(world, "1h")
    one = serving()
    until(lambda: one.sweeps() == 1)
    world.config.write_text(world.config.read_text().replace("every: 1h", "every: 1s"))
    until(lambda: one.sweeps() >= 3)
    assert "new schedule: every 1s" in one.text


def test_a_configuration_that_is_swapped_by_links_is_read_again(
    world: World, serving: Start
) -> None:
    """As Kubernetes swaps the files of a ConfigMap: a link to a directory is replaced."""
    world.configure(mode="audit", registry=str(world.registry), archive=str(world.archive))
    scheduled(world, "1s")
    ids = world.fill(1)
    text = world.config.read_text(encoding="utf-8")
    mount = world.directory / "mount"
    for name, said in (("..1", text), ("..2", text.replace("mode: audit", "mode: enforce"))):
        (mount / name).mkdir(parents=True)
        (mount / name / "janitor.yaml").write_text(said, encoding="utf-8")
    (mount / "..data").symlink_to("..1")
    (mount / "janitor.yaml").symlink_to("..data/janitor.yaml")
    one = serving("--config", str(mount / "janitor.yaml"))
    until(lambda: one.sweeps() >= 2)
    assert world.emulator.ids() == ids
    (mount / "..new").symlink_to("..2")
    (mount / "..new").rename(mount / "..data")
    until(lambda: not world.emulator.ids())
    assert "configuration reloaded" in one.text


def test_a_key_file_is_read_again_at_each_sweep(world: World, serving: Start) -> None:
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text.replace("{env: JANITOR_WORLD_KEY}", "{file: key}"))
    scheduled(world, "1s")
    key = world.directory / "key"
    key.write_text("sk-outdated\n")
    world.fill(1)
    one = serving("--log-format", "json")
    until(lambda: one.metric("janitor_sweeps_total", result="failed") not in (None, 0))
    assert one.metric("janitor_limit_tripped", limit="unauthorised") == 1
    assert one.get("/healthz")[0] == 200, "a provider's refusal is not our ill health"
    assert len(world.emulator.ids()) == 1
    key.write_text(f"{KEY}\n")
    until(lambda: not world.emulator.ids())
    until(lambda: one.metric("janitor_limit_tripped", limit="unauthorised") is None)
    key.unlink()
    until(lambda: any("cannot be read" in line["message"] for line in one.lines))
    assert "Traceback" not in one.text
    assert KEY not in one.text
