"""On a loop, gevent's or uvloop's, nothing waits for a registry or a disk, and nothing is lost.

Each application of gevent's is a process of its own, since patching is for good. How the others
get on is told by what they did while a delivery was at work, never by time.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import psycopg
import pytest
import uvloop
from openai import AsyncOpenAI
from postgres import Server
from tracked import DEADLINE, Place

import janitor
from janitor.registry import Registry
from janitor.testing import Emulated
from janitor.tracking import delivery, inbox

PATCH = """
from gevent import monkey
monkey.patch_all()
"""
BEGIN = """
import logging, os, sys
import janitor, janitor.tracking.delivery
from janitor.tracking import COUNTERS, delivery, flush, inbox, metrics
from openai import OpenAI
registry, url, key = sys.argv[1:]
inbox.PATIENCE, delivery.LONGEST = 1.0, 0.1

def tracked():
    return janitor.track(OpenAI(base_url=url, api_key=key, max_retries=0), registry)
"""
# As a server does that loads the application once and patches in each of its workers.
FORK = """
tracked()
if child := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
CLIENT = """
import gevent
client = tracked()
tries, inside = 0, False
kind = type(delivery._POSTS[registry]._inbox)
add = kind.add

def noted(self, notices):
    global tries, inside
    inside = True
    try:
        return add(self, notices)
    finally:
        inside = False
        tries += 1

kind.add = noted
made = [client.conversations.create().id]
"""
# Calls of another greenlet that begin and end while a delivery is at work.
SERVE = """
calls = 0
while calls < 5 and (calls or tries < 3):
    begun = tries if inside else None
    made.append(client.conversations.create().id)
    calls += inside and begun == tries
print(calls, *made, flush=True)
"""
DELIVER = """
assert flush(60)
print("dropped", COUNTERS.dropped)
"""
ORDERS = {
    "patched first": PATCH + BEGIN,
    "patched after the import": BEGIN + PATCH,
    "patched in a fork": BEGIN + FORK + PATCH,
}


def start(script: str, registry: str, place: Place, api: Emulated) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, registry, api.base_url, api.api_key],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JANITOR_SPOOL": str(place.directory / "spool")},
    )


def first_line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def end(process: subprocess.Popen[str]) -> tuple[list[str], list[str]]:
    """What else an application says, and what it complains of."""
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, err
    return out.split(), err.splitlines()


def delivered(place: Place) -> list[str]:
    return sorted(row.id for row in place.rows())


@contextmanager
def locked(place: Place) -> Iterator[sqlite3.Connection]:
    """The registry while another process, this one, writes to it."""
    with closing(sqlite3.connect(place.database, isolation_level=None)) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        yield locker


@pytest.mark.parametrize("order", ORDERS)
def test_greenlets_go_on_while_sqlite_is_locked(place: Place, api: Emulated, order: str) -> None:
    script = ORDERS[order] + CLIENT + SERVE + DELIVER
    with locked(place) as locker, start(script, place.url, place, api) as process:
        calls, *made = first_line(process)
        locker.execute("ROLLBACK")
        assert end(process)[0] == ["dropped", "0"]
    assert calls == "5", "none was made while a delivery was at work"
    assert delivered(place) == sorted(made)


def test_greenlets_go_on_while_postgresql_is_locked(
    place: Place, api: Emulated, postgres: Server
) -> None:
    with postgres.database() as name:
        url = postgres.url(name)
        Registry.open(url).close()
        script = PATCH + BEGIN + CLIENT + SERVE + DELIVER
        plain = url.replace("+psycopg", "")
        with psycopg.connect(plain) as locker, start(script, url, place, api) as process:
            locker.execute("LOCK TABLE janitor_inbox IN ACCESS EXCLUSIVE MODE")
            calls, *made = first_line(process)
            locker.rollback()
            assert end(process)[0] == ["dropped", "0"]
        with psycopg.connect(plain) as reader:
            found = reader.execute("SELECT id FROM janitor_inbox").fetchall()
    assert calls == "5", "none was made while a delivery was at work"
    assert sorted(one for (one,) in found) == sorted(made)


def test_greenlets_go_on_while_a_janitor_is_silent_and_a_program_ends_meanwhile(
    place: Place, api: Emulated
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        registry = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with start(PATCH + BEGIN + CLIENT + SERVE, registry, place, api) as process:
            calls, *made = first_line(process)
            (complaint,) = end(process)[1]
    assert calls == "5", "none was made while a delivery was at work"
    assert f"{registry} accepts nothing for now" in complaint
    assert sorted(one["id"] for one in place.spooled()) == sorted(made)


SYNC = """
import gevent, time
client = tracked()
sleep = monkey.get_original("time", "sleep")
tries, calls, inside = 0, 0, False

def slow(descriptor):  # a disk that takes its time
    global tries, inside
    inside = True
    for _ in range(5000):
        if calls == 5:
            break
        sleep(0.001)
    inside = False
    tries += 1

os.fsync = slow
made = [client.conversations.create().id]
"""


def test_greenlets_go_on_while_the_spool_is_made_durable(place: Place, api: Emulated) -> None:
    with start(PATCH + BEGIN + SYNC + SERVE + DELIVER, place.url, place, api) as process:
        calls, *made = first_line(process)
        assert end(process)[0] == ["dropped", "0"]
    assert calls == "5", "none was made while the disk was at work"
    assert delivered(place) == sorted(made)


FORKED = """
while not inside:
    gevent.sleep(0.001)
read, write = os.pipe()
if not (child := os.fork()):
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]  # whose numbers were others'
    own = [client.conversations.create().id for _ in range(3)]
    os.write(write, f"{' '.join(own)}{os.linesep}".encode())
    is_told = flush(60)
    for file in files:
        os.fstat(file)
    os._exit(0 if is_told else 1)
with os.fdopen(read) as said:
    made += said.readline().split()
print(*made, flush=True)
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_fork_amid_a_delivery_delivers_all_of_it_once(place: Place, api: Emulated) -> None:
    """Greenlets go on in the child, those of the parent's delivery too."""
    script = PATCH + BEGIN + CLIENT + FORKED + DELIVER
    with locked(place) as locker, start(script, place.url, place, api) as process:
        made = first_line(process)
        locker.execute("ROLLBACK")
        told, complaints = end(process)
    assert told == ["dropped", "0"]
    assert all("another process has been writing" in said for said in complaints), complaints
    assert len(made) == 4
    assert delivered(place) == sorted(made)


LOGGED = """
metrics.EVERY = 0.0
said = []

class Slow(logging.Handler):
    def emit(self, record):
        gevent.sleep(0.001)  # as one that writes to a socket: others run, and it holds its lock
        said.append(record.name)

logging.getLogger().addHandler(Slow())
while said.count("janitor.tracking") < 3:
    gevent.joinall([gevent.spawn(logging.warning, "busy") for _ in range(5)])
print(*made, flush=True)
"""


def test_complaints_stop_no_greenlet_and_no_end_of_a_program(place: Place, api: Emulated) -> None:
    with locked(place), start(PATCH + BEGIN + CLIENT + LOGGED, place.url, place, api) as process:
        made = first_line(process)
        end(process)
    assert sorted(one["id"] for one in place.spooled()) == sorted(made)


POOLED = """
import gevent
pool = gevent.get_hub().threadpool
def work():
    client = tracked()
    return [client.conversations.create().id for _ in range(3)]
jobs = [pool.spawn(work) for _ in range(5)]
made = [one for job in jobs for one in job.get()]
jobs = [gevent.spawn(work) for _ in range(5)] + [pool.spawn(work) for _ in range(5)]
made += [one for job in jobs for one in job.get()]
print(*made, flush=True)
"""


def test_real_threads_beside_greenlets_are_told_of_too(place: Place, api: Emulated) -> None:
    """The first that tracks is one of a pool, whose greenlets would never run."""
    with start(PATCH + BEGIN + POOLED + DELIVER, place.url, place, api) as process:
        made = first_line(process)
        assert end(process)[0] == ["dropped", "0"]
    assert len(made) == 45
    assert delivered(place) == sorted(made)


def test_uvloop_goes_on_while_sqlite_is_locked(
    place: Place, api: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PATIENCE", 1.0)
    monkeypatch.setattr(delivery, "LONGEST", 0.1)
    tries, is_inside = 0, False
    insert = inbox.SqliteInbox._insert

    def noted(inbox: inbox.SqliteInbox, rows: Sequence[tuple[object, ...]]) -> None:
        nonlocal tries, is_inside
        is_inside = True
        try:
            insert(inbox, rows)
        finally:
            is_inside = False
            tries += 1

    async def work() -> tuple[int, list[str]]:
        async with AsyncOpenAI(base_url=api.base_url, api_key=api.api_key) as client:
            tracked = janitor.track(client, place.url)
            made = [(await tracked.conversations.create()).id]
            calls = 0
            while calls < 5 and (calls or tries < 3):
                begun = tries if is_inside else None
                made.append((await tracked.conversations.create()).id)
                calls += is_inside and begun == tries
            return calls, made

    monkeypatch.setattr(inbox.SqliteInbox, "_insert", noted)
    with locked(place), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        calls, made = runner.run(work())
    assert calls == 5
    assert place.told() == [("register", one) for one in made]
