"""SIGKILL after `create` returned loses nothing: what the application knew of gets there."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from chat_house import House, Warm

from janitor.tracking.spool import NAME_FILE

KILLS = int(os.environ.get("JANITOR_SCALE", "2000")) // 200
CREATING = ("claimed", "crowded", "thread", "both", "session", "conversation")


def killed_after(notes: int, house: House, warm: Warm, **said: object) -> int:
    """Kill an application once it has noted so much; how it ended."""
    mark = house.world.directory / "mark"
    if not mark.exists():
        os.mkfifo(mark)
    process = warm.start(house.settings(mark=str(mark), times=100, chats=CREATING, **said))
    with mark.open("rb", buffering=0) as marks:
        for _ in range(notes):
            assert marks.read(1), "the application ended by itself"
        return warm.kill(process)


def killed(house: House, warm: Warm, **said: object) -> None:
    """Kill many applications, each at another point."""
    chance = random.Random(5)  # noqa: S311 - a test's points
    for number in range(KILLS):
        mode = ("turn", "threads")[number % 2]
        ended = killed_after(chance.randint(1, 40), house, warm, mode=mode, **said)
        assert ended == -signal.SIGKILL


@pytest.mark.parametrize("any_house", ["house", "spool_house"], indirect=True)
def test_what_killed_applications_made_is_told_by_whoever_comes_next(
    any_house: House, warm: Warm
) -> None:
    killed(any_house, warm)
    known, rows = any_house.made(), any_house.listed()
    assert len(known) > KILLS
    assert known.keys() - rows.keys() == set()
    left = {path.name for path in any_house.world.directory.glob("spool/*/*")}
    assert left <= {NAME_FILE}


def test_nothing_is_lost_either_while_the_registry_is_away(
    house: House, warm: Warm, tmp_path: Path
) -> None:
    away = house.world.registry.rename(tmp_path / "away.db")
    killed(house, warm)
    away.rename(house.world.registry)
    assert house.made().keys() - house.listed().keys() == set()
