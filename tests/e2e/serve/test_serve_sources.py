"""The service reads its sources before each sweep, and says which one fails."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from world import World, until

from serve.serving import Start, scheduled

SOURCE = """\
sources:
  chats:
    sql: {url: "sqlite:///app.db", watermark: updated_at,
          query: "SELECT id, updated_at FROM chats WHERE updated_at > :watermark"}
"""
INSERT = "INSERT INTO chats VALUES (?, '2026-03-01 12:00:00')"


def test_a_source_is_read_before_each_sweep_and_told_while_it_fails(
    world: World, serving: Start
) -> None:
    with world.config.open("a", encoding="utf-8") as file:
        file.write(SOURCE)
    scheduled(world, every="1s")
    service = serving()
    until(lambda: "janitor sync --source chats" in service.text)
    name = world.conversation(5)
    with closing(sqlite3.connect(world.directory / "app.tmp")) as table, table:
        table.execute("CREATE TABLE chats (id, updated_at)")
        table.execute(INSERT, (name,))
    (world.directory / "app.tmp").rename(world.directory / "app.db")
    until(lambda: bool(service.metric("janitor_source_rows_total", source="chats", result="added")))
    told = service.metric("janitor_source_last_success_timestamp_seconds", source="chats")
    assert told is not None
    assert told > 0
