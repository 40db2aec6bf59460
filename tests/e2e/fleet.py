"""Several janitors, each a process, on one PostgreSQL and one emulated API."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from postgres import Server
from world import NOW, World

from janitor.model import Key, Kind
from janitor.registry import Registration, Registry

DRIVER = Path(__file__).with_name("sweep_until_done.py")
LEASE_SECONDS = 3.0
OLD = NOW - timedelta(days=90)
POLICIES = """\
  - name: old
    match: {project: main}
    delete: {after: 30d}
"""


class Replicas:
    """Janitors that share a registry; `begin` starts one that sweeps until nothing is due."""

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.url = url
        self.registry = Registry.open(url)
        world.environment["JANITOR_LEASE_SECONDS"] = str(LEASE_SECONDS)
        world.configure(POLICIES, concurrency=8)
        text = world.config.read_text(encoding="utf-8")
        text = text.replace("sqlite:///janitor.db", url)
        world.config.write_text(text, encoding="utf-8")

    def fill(self, number: int) -> list[str]:
        """Put conversations at the server that are due, and register them."""
        ids = [self.world.conversation(90, items=1) for _ in range(number)]
        keys = (Key("main", Kind.CONVERSATION, one) for one in ids)
        self.registry.registrations.add((Registration(key, OLD, OLD) for key in keys), NOW)
        return ids

    def begin(self) -> subprocess.Popen[bytes]:
        """A process that sweeps until nothing is due; it says so on stderr once it has begun."""
        process = subprocess.Popen(
            [sys.executable, str(DRIVER), str(self.world.config), self.url],
            env={**os.environ, **self.world.environment},
            cwd=self.world.directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.world.started.append(process)
        return process

    def deleted(self) -> int:
        """How many threads the registry says are deleted."""
        return sum(
            n for (_, _, state), n in self.registry.threads.states().items() if state == "deleted"
        )

    def is_done(self) -> bool:
        """Whether no thread is left and every run is closed."""
        states = {state for (_, _, state), n in self.registry.threads.states().items() if n}
        return states == {"deleted"} and not self.registry.runs.unclosed()


def wait_for_begin(process: subprocess.Popen[bytes]) -> None:
    """Wait until a replica has begun."""
    assert process.stderr is not None
    assert process.stderr.readline() == b"begun\n"


def has_said(process: subprocess.Popen[bytes]) -> bool:
    """Whether a replica has begun, where nobody has waited for that."""
    assert process.stderr is not None
    return bool(select.select([process.stderr], [], [], 0)[0])


@pytest.fixture
def replicas(world: World, postgres: Server) -> Iterator[Replicas]:
    with postgres.database() as name:
        made = Replicas(world, postgres.url(name))
        yield made
        world.end()
        world.started.clear()
        made.registry.close()
