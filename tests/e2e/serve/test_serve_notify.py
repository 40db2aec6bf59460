"""What systemd is told, over a datagram socket of its kind."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World

from serve.serving import Start, scheduled
from serve.systemd import Systemd

pytest.importorskip("cysystemd", reason="cysystemd is not built for this platform")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path / "notify.sock")
    yield made
    made.close()


def test_systemd_is_told_of_readiness_life_reloads_and_the_end(
    world: World, serving: Start, systemd: Systemd
) -> None:
    scheduled(world)
    one = serving(NOTIFY_SOCKET=str(systemd.path))
    assert systemd.hear("READY") == "READY=1"
    assert systemd.hear("WATCHDOG") == "WATCHDOG=1"
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    one.process.send_signal(signal.SIGHUP)
    word, moment = systemd.hear("RELOADING").splitlines()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert word == "RELOADING=1"
    name, _, at = moment.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(at) <= after
    assert systemd.hear("READY") == "READY=1"
    one.process.terminate()
    assert systemd.hear("STOPPING") == "STOPPING=1"
    assert one.process.wait(60) == 0


def test_a_socket_that_is_gone_is_no_reason_to_stop(world: World, serving: Start) -> None:
    scheduled(world)
    one = serving(NOTIFY_SOCKET=str(world.directory / "nobody.sock"))
    assert one.get("/healthz") == (200, "ok")
    assert one.stop() == 0
    assert "could not notify systemd of READY" in one.text
    assert one.text.count("could not notify systemd of WATCHDOG") == 0
