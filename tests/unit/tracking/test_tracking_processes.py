"""Processes that are killed, forked or bare of everything but the SDK: what they made is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tracked import DEADLINE, Place

from janitor.testing import Emulated

BEGIN = """
import os, sys, threading
import janitor
from openai import OpenAI
registry, url, key = sys.argv[1:]
client = janitor.track(OpenAI(base_url=url, api_key=key), registry, metadata={"pid": os.getpid()})
"""
KILLED = """
for _ in range(5):
    print(client.conversations.create().id, flush=True)
    client.conversations.create()
os.kill(os.getpid(), 9)
"""
# The fork comes while other threads write, so locks are held and files are open.
FORKED = """
stop = threading.Event()
made = [client.conversations.create().id]  # the SDK's own locks are held on first use alone
def work():
    while not stop.is_set():
        made.append(client.conversations.create().id)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(4):
    read, write = os.pipe()
    if not (child := os.fork()):
        own = janitor.track(OpenAI(base_url=url, api_key=key), registry)
        ids = [own.conversations.create().id for _ in range(3)]
        os.write(write, "\\n".join(ids).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        made += said.read().split()
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
print("\\n".join(made))
"""
INHERITED = """
client.conversations.create()
if not (child := os.fork()):
    print(client.conversations.create().id, flush=True)
    os.kill(os.getpid(), 9)
os.waitpid(child, 0)
"""
SHORT = """
print(client.conversations.create().id)
"""
BARE = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {"sqlalchemy", "sqlmodel", "alembic", "orjson", "yaml", "click", "rich",
                    "zstandard", "apscheduler", "starlette", "uvicorn", "psycopg",
                    "prometheus_client", "pyrate_limiter", "cronsim", "watchfiles"}:
            raise ImportError(f"{name} is not installed")
sys.meta_path.insert(0, Refuse())
import janitor
assert not {"openai", "httpx2", "sqlite3", "janitor.tracking"} & set(sys.modules)
"""


def run(script: str, place: Place, api: Emulated) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, place.url, api.base_url, api.api_key],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env=os.environ | {"JANITOR_SPOOL": str(place.directory / "spool")},
    )


def registered(place: Place) -> set[str]:
    return {row.id for row in place.rows()}


def test_what_a_killed_process_made_is_told_by_the_next(place: Place, api: Emulated) -> None:
    killed = run(BEGIN + KILLED, place, api)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    made = set(killed.stdout.split())
    assert len(made) == 5
    assert made <= registered(place) | {one["id"] for one in place.spooled()}
    following = run(BEGIN + SHORT, place, api)
    assert following.returncode == 0, following.stderr
    assert made | set(following.stdout.split()) <= registered(place)
    assert place.spooled() == []


def test_forks_amid_work_lose_nothing_and_hang_nowhere(place: Place, api: Emulated) -> None:
    done = run(BEGIN + FORKED, place, api)
    assert done.returncode == 0, done.stderr
    made = set(done.stdout.split())
    assert len(made) > 12
    if waiting := {one["id"] for one in place.spooled()}:
        assert run(BEGIN + SHORT, place, api).returncode == 0
    assert made <= registered(place), waiting


def test_a_child_tells_with_its_parents_client(place: Place, api: Emulated) -> None:
    done = run(BEGIN + INHERITED, place, api)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= registered(place)
    assert len(registered(place)) == 2


def test_a_short_program_tells_before_it_ends(place: Place, api: Emulated) -> None:
    done = run(BEGIN + SHORT, place, api)
    assert (done.returncode, done.stderr) == (0, "")
    assert registered(place) == set(done.stdout.split())
    (spool,) = (place.directory / "spool").iterdir()
    assert [path.name for path in spool.iterdir()] == ["registry.txt"]


def test_a_dead_registry_delays_the_end_of_a_program_by_a_second_at_most(
    place: Place, api: Emulated
) -> None:
    place.database.unlink()
    done = run(BEGIN + SHORT, place, api)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert [one["id"] for one in place.spooled()] == done.stdout.split()


def test_it_needs_nothing_but_the_sdk(place: Place, api: Emulated) -> None:
    done = run(BARE + BEGIN + SHORT, place, api)
    assert (done.returncode, done.stderr) == (0, "")
    assert registered(place) == set(done.stdout.split())


@pytest.mark.parametrize("name", ["janitor.tracking", "janitor"])
def test_importing_it_does_not_import_the_sdk(name: str, tmp_path: Path) -> None:
    script = f"import sys, {name}; assert not {{'openai', 'sqlmodel'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=DEADLINE, cwd=tmp_path)
