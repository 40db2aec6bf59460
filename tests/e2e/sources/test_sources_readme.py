"""The source stanza that the README shows is one that reads a table."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from world import World

README = Path(__file__).parents[3] / "README.md"
STANZA = re.compile(r"^```yaml\n(sources:.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_readmes_source_is_read(world: World) -> None:
    (stanza,) = STANZA.findall(README.read_text(encoding="utf-8"))
    with world.config.open("a", encoding="utf-8") as file:
        file.write(stanza)
    path = world.directory / "application.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        columns = "conversation_id, created_at, last_message_at, plan, updated_at"
        connection.execute(f"CREATE TABLE chats ({columns})")
        times = ["2026-01-01 10:00:00", "2026-01-02 10:00:00", "2026-01-02 10:00:00"]
        row = ["conv_1", times[0], times[1], "trial", times[2]]
        connection.execute("INSERT INTO chats VALUES (?, ?, ?, ?, ?)", row)
    world.environment["APP_DATABASE_URL"] = f"sqlite:///{path}"
    done = world.run("--output", "json", "sync")
    assert done.code == 0, done.err
    (listed,) = world.run("--output", "jsonl", "list").lines
    assert (listed["id"], listed["kind"]) == ("conv_1", "conversation")
    assert listed["metadata"] == {"plan": "trial"}
    assert listed["last_active_at"] == "2026-01-02T10:00:00+00:00"
