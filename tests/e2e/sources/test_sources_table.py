"""A large table syncs incrementally, in bounded memory, and loses no row to how rows arrive.

`JANITOR_SCALE` sets how many chats the application has.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from contextlib import ExitStack

import psycopg

from sources.application_world import Application

SCALE = int(os.environ.get("JANITOR_SCALE", "2000"))
GROWTH = 16 << 20
NEWS = 25
INSERT = "INSERT INTO chats (conversation_id, updated_at) VALUES (%s, now() + %s * interval '1 s')"
NOW_AND_AHEAD = """
INSERT INTO chats (conversation_id, updated_at) VALUES
('conv_now_{0}', now()), ('conv_ahead_{0}', now() + interval '1 h'),
('conv_equal_{0}', (SELECT at FROM instant))
"""
RENEW = "UPDATE chats SET updated_at = now() WHERE id <= {}"
HOUR = 3600


def test_a_table_is_read_once_and_then_only_what_is_new(application: Application) -> None:
    application.fill(0, SCALE // 10, SCALE)
    small, least = application.measured_sync()
    application.fill(SCALE // 10, SCALE, SCALE)
    first, most = application.measured_sync()
    application.execute(RENEW.format(NEWS))
    told = [done.document["sources"][0] for done in (small, first)]
    told += [application.sync(), application.sync()]
    assert [row["added"] for row in told] == [SCALE // 10, SCALE - SCALE // 10, 0, 0]
    assert [row["updated"] for row in told] == [0, 0, NEWS, 0]
    assert told[2]["read"] <= NEWS + 1 + SCALE // 1000
    assert NEWS <= told[3]["read"] == told[3]["unchanged"] <= told[2]["read"]
    assert set(application.world.states()) == application.chats()
    assert most - least < GROWTH
    sys.stderr.write(f"\n{[(row['read'], row['seconds']) for row in told]}, {most >> 20} MiB\n")


def test_equal_watermarks_late_commits_and_skewed_clocks_lose_no_row(
    application: Application,
) -> None:
    for number in range(6):
        with ExitStack() as late:
            for skew in (-240, -1, 0, 240, 3 * HOUR):
                connection = late.enter_context(application.connect())
                connection.execute(INSERT, (f"conv_late_{number}_{skew}", skew))
            application.execute(NOW_AND_AHEAD.format(number))
            assert application.sync()["added"] == 3 + 5 * (number > 0)
        assert number < 5 or application.sync()["added"] == 5
    assert set(application.world.states()) == application.chats()


def test_writers_that_never_rest_lose_no_row(application: Application) -> None:
    number = max(SCALE // 100, 20)
    writers = [
        threading.Thread(target=write, args=(application, name, number)) for name in range(4)
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        application.sync()
    application.sync()
    chats = application.chats()
    assert len(chats) == 4 * number
    assert set(application.world.states()) == chats


def write(application: Application, name: int, number: int) -> None:
    """Transactions of some rows each, two of them open at once, by a clock that is off."""
    chance = random.Random(name)  # noqa: S311 - chance in a test
    names = [f"conv_{name}_{i}" for i in range(number)]
    with application.connect() as one, application.connect() as other:
        while names:
            for connection in (one, other):
                skew = chance.choice((-300, -2, 0, 0, 2, 300, HOUR))
                for _ in range(min(chance.randint(1, 5), len(names))):
                    connection.execute(INSERT, (names.pop(), skew))
            commit(chance, one, other)


def commit(chance: random.Random, *connections: psycopg.Connection[tuple[object, ...]]) -> None:
    for connection in chance.sample(connections, chance.randint(1, len(connections))):
        connection.commit()
