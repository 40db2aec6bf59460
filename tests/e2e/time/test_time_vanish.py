"""A chat is deleted in the application's own table, and thirty days later at the server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from timed_world import KEY, Timed, timed
from virtual_time import VirtualClock

from janitor.emulator import Emulator
from janitor.model import Hold, Key, Kind, State

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RATE = "{delete: unlimited, read: unlimited, write: unlimited}"
CONFIG = """\
sources:
  chats:
    sql:
      url: "sqlite:///app.db"
      query: |
        SELECT conversation_id AS id, created_at, last_message_at AS last_active_at, updated_at
        FROM chats WHERE updated_at > :watermark
      watermark: updated_at
    on_vanish: {expire_after: 30d}
policies:
  - {name: years, match: {kind: conversation}, delete: {after: 3y}}
"""
TABLE = "CREATE TABLE chats (conversation_id TEXT, created_at, last_message_at, updated_at)"


class Application:
    """An application that has registered nothing anywhere but in its own table."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.execute(TABLE)

    def execute(self, statement: str, rows: Iterable[tuple[str, ...]] = ((),)) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executemany(statement, rows)

    def has(self, *chats: str, at: datetime = BEGIN) -> None:
        said = at.isoformat(sep=" ", timespec="seconds")
        self.execute("INSERT INTO chats VALUES (?, ?, ?, ?)", [(one, *[said] * 3) for one in chats])

    def lacks(self, *chats: str) -> None:
        self.execute("DELETE FROM chats WHERE conversation_id = ?", [(one,) for one in chats])


def state(world: Timed, chat: str) -> State:
    found = world.registry.threads.get(Key("main", Kind.CONVERSATION, chat))
    assert found is not None
    return found.thread.state


def swept(world: Timed, at: datetime) -> None:
    world.clock.set(at)
    world.sweep()


def test_what_vanished_goes_thirty_days_later_and_what_is_held_or_back_stays(
    tmp_path: Path,
) -> None:
    clock = VirtualClock(BEGIN)
    server = Emulator({KEY: "main"}, clock=clock)
    application = Application(tmp_path / "app.db")
    with timed(tmp_path, server, clock, RATE, CONFIG) as world:
        chats = [server.add_conversation(created_at=BEGIN, items=1) for _ in range(24)]
        gone, held, back, used, *others = chats
        application.has(*chats)
        swept(world, BEGIN + DAY)
        assert {state(world, one) for one in chats} == {State.ACTIVE}
        application.lacks(gone, held, back, used)
        world.registry.holds.add(Hold("court", ids=frozenset([held])), world.now)
        found_at = BEGIN + 10 * DAY
        swept(world, found_at)
        application.has(back, at=found_at)
        swept(world, found_at + 20 * DAY)
        server.append_item(used)
        swept(world, found_at + 30 * DAY - timedelta(seconds=1))
        assert {state(world, one) for one in chats} == {State.ACTIVE}
        swept(world, found_at + 30 * DAY)
        assert {one for one in chats if not server.exists(one)} == {gone}
        assert state(world, gone) is State.DELETED
        assert {state(world, one) for one in (held, back, used, *others)} == {State.ACTIVE}
        swept(world, found_at + 60 * DAY - timedelta(seconds=1))
        assert server.exists(used), "a new item counts from the look that found it"
        swept(world, found_at + 60 * DAY)
        assert not server.exists(used)
        assert server.exists(held)
