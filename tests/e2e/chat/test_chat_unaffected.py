"""Whatever happens to the registry, every call of the application gives what it always gave.

Each trouble lasts until the application is through with all its calls, so a call that waited for
the registry would wait forever.
"""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from chat_house import House
from chat_trouble import is_locked, locked, silent
from mounts import fill_up, tmpfs
from world import until

from janitor.emulator import Clock, Emulator
from janitor.registry import Registry
from janitor.tracking import COUNTERS, flush

LOCKED_FOR = float(os.environ.get("JANITOR_LOCKED_FOR", "0"))
ADDED = re.compile(r',?"(janitor_created_at|plan)":"(20[^"]*Z|trial)"')
WAYS = ["plain", "with_raw_response", "with_streaming_response"]
SEED = 1 << 31
SERVER_TIME = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["OpenAI", "AsyncOpenAI"])
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def transcript(house: House, **said: object) -> list[str]:
    """What an application is given by a server that is always the same."""
    emulator = Emulator({house.world.emulator.key: "main"}, clock=Clock(SERVER_TIME), seed=SEED)
    with emulator.serve() as served:
        given = {"base_url": served.base_url, "tag": False, "patience": 0.2}
        return house.hold(**given | said)


def expected(house: House, **said: object) -> list[str]:
    """What it is given without tracking."""
    found = transcript(house, registry=None, **said)
    house.journal.unlink()
    assert len(found) > 15
    return found


def complained(caplog: pytest.LogCaptureFixture) -> bool:
    return any(one.name == "janitor.tracking" for one in caplog.records)


def delivery_fails(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Track something, and wait until it could not be delivered."""
    house.hold(chats=("claimed",), patience=0.2)
    until(lambda: complained(caplog))


@pytest.mark.parametrize("way", WAYS)
def test_tracking_itself_changes_nothing_but_what_it_adds(
    house: House, client: str, way: str
) -> None:
    plain = expected(house, client=client, way=way)
    assert transcript(house, client=client, way=way) == plain
    tagged = transcript(house, client=client, way=way, tag=True)
    assert tagged != plain
    assert [ADDED.sub("", line) for line in tagged] == plain


def test_a_registry_that_is_removed(
    house: House, client: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    plain = expected(house, client=client)
    house.hold(chats=("nearly",))
    house.settle()
    away = house.world.registry.rename(tmp_path / "away.db")
    delivery_fails(house, caplog)
    assert transcript(house, client=client) == plain
    assert not house.world.registry.exists()
    away.rename(house.world.registry)
    assert house.wrong() == {}


def test_a_registry_that_is_locked(
    house: House, client: str, caplog: pytest.LogCaptureFixture
) -> None:
    plain = expected(house, client=client)
    until_, before = time.monotonic() + LOCKED_FOR, ""
    with locked(house.world.registry):
        delivery_fails(house, caplog)
        assert transcript(house, client=client) == plain
        while time.monotonic() < until_:
            before += house.journal.read_text(encoding="utf-8")
            house.journal.unlink()
            assert transcript(house, client=client) == plain
        assert is_locked(house.world.registry)
    house.journal.write_text(before + house.journal.read_text(encoding="utf-8"), encoding="utf-8")
    assert house.wrong() == {}


def test_a_registry_whose_disk_is_full(
    house: House, client: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    plain = expected(house, client=client)
    with tmpfs(tmp_path / "disk", "2m") as disk:
        url = f"sqlite:///{disk / 'janitor.db'}"
        Registry.open(url).close()
        house.use(url)
        filler = fill_up(disk)
        delivery_fails(house, caplog)
        assert transcript(house, client=client) == plain
        assert COUNTERS.dropped == 0
        filler.unlink()
        assert house.wrong() == {}


def test_a_spool_whose_disk_is_full_too(
    house: House,
    client: str,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = expected(house, client=client)
    with tmpfs(tmp_path / "disk", "1m") as disk:
        monkeypatch.setenv("JANITOR_SPOOL", str(disk))
        (disk / "room").mkdir()
        fill_up(disk)
        house.tracked = f"sqlite:///{disk / 'janitor.db'}"
        assert transcript(house, client=client) == plain
        assert complained(caplog)
        assert COUNTERS.dropped >= len(house.made())
        assert not flush(0)


def test_a_database_that_is_dead(
    house: House, client: str, caplog: pytest.LogCaptureFixture
) -> None:
    plain = expected(house, client=client)
    house.tracked = "postgresql://nobody@127.0.0.1:1/none"
    delivery_fails(house, caplog)
    assert transcript(house, client=client) == plain
    assert COUNTERS.dropped == 0


def test_a_janitor_that_never_answers(house: House, client: str) -> None:
    plain = expected(house, client=client)
    with silent() as server:
        house.tracked = server.url
        house.hold(chats=("claimed",), patience=60.0)
        assert server.heard.wait(60)
        assert transcript(house, client=client, patience=60.0) == plain
        assert COUNTERS.dropped == 0
