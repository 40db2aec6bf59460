"""A stage that a run can be killed on again and again: copied for each death, looked at after."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from crash_databases import Database
from crash_scenarios import Scenario, configuration
from seams import Point

from janitor.emulator import Emulator, Fault, How
from janitor.kinds import CATALOGUE
from janitor.model import Key, Kind
from janitor.policy.activity import Sightings
from janitor.registry import InboxNotice, Registration, Registry, Settlement

KEY = "sk-crash"
NOW = datetime.now(UTC).replace(microsecond=0)
OLD = NOW - timedelta(days=45)
KILLED = -9
TIMED = {"registry/key_values.py:alter commit"}
"""Effects whose number depends on how long a run takes: a rate limit's state, for one."""


class Forks:
    """The server that forks janitors."""

    def __init__(self, warm_up: Path) -> None:
        script = Path(__file__).with_name("forkserver.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._warm_up = warm_up
        self._number = 0
        self._order(warm_up, ("sweep",), None, hastened=False)

    def run(
        self, directory: Path, *arguments: str, death: Point | None = None, hastened: bool = False
    ) -> int:
        """Run janitor in a process of its own; its exit code, `KILLED` where it died."""
        self._order(directory, arguments, death, hastened=hastened)
        while answer := self._pipe(self._process.stdout).readline():
            number, code = map(int, answer.split())
            if number == self._number:  # others answer a test that did not wait for them
                return code
        raise AssertionError((self._warm_up / "said").read_text(encoding="utf-8"))

    def _order(
        self, directory: Path, arguments: tuple[str, ...], death: Point | None, *, hastened: bool
    ) -> None:
        self._number += 1
        order = {
            "number": self._number,
            "directory": str(directory),
            "environment": {"JANITOR_CRASH_KEY": KEY},
            "arguments": ["--config", "janitor.yaml", *arguments],
            "death": [death.name, death.occurrence, death.moment] if death else None,
            "hastened": hastened,
        }
        stdin = self._pipe(self._process.stdin)
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()

    @staticmethod
    def _pipe(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream

    def close(self) -> None:
        self._pipe(self._process.stdin).close()
        self._process.wait(timeout=240)
        self._pipe(self._process.stdout).close()


@dataclass
class Stage:
    """One container at the emulator, a registry that knows it, and a configuration."""

    scenario: Scenario
    root: Path
    emulator: Emulator
    base_url: str
    database: Database
    forks: Forks
    kind: Kind
    key: Key = field(init=False)
    directory: Path = field(init=False)
    saved: Path = field(init=False)
    points: list[Point] = field(default_factory=list)
    """Where the last run of the scenario's command came by that ended by itself."""
    reached: set[str] = field(default_factory=set)
    """Which functions any run here was in when it had which effect: `place primitive`."""

    def __post_init__(self) -> None:
        self.directory, self.saved = self.root / "stage", self.root / "saved"
        self.directory.mkdir()
        self.database.create(self.directory)
        self.configure()
        self.key = Key("main", self.kind, self._put())
        with Registry.open(self.database.url(self.directory)) as registry:
            keys = [
                self.key,
                *([replace(self.key, project="twin")] if self.scenario.is_shared else []),
            ]
            said = [Registration(key, OLD, OLD, metadata={"plan": "old"}) for key in keys]
            registry.registrations.add(said, NOW)
            registry.inbox.append([InboxNotice("main", self.kind, self.key.id, OLD, "touch")])
        self.scenario.prepare(self)

    def _put(self) -> str:
        metadata = {"own": "1"} if CATALOGUE[self.kind].has_metadata else None
        return self.emulator.add(
            self.kind, created_at=OLD, metadata=metadata, items=self.scenario.items
        )

    def configure(self) -> None:
        """Write the configuration for where the stage stands."""
        text = configuration(
            self.scenario,
            registry=self.database.url(self.directory),
            base_url=self.base_url,
            directory=self.directory,
        )
        (self.directory / "janitor.yaml").write_text(text, encoding="utf-8")

    @property
    def command(self) -> tuple[str, ...]:
        """The scenario's command, about this stage's container."""
        return tuple(self.key.id if word == "ID" else word for word in self.scenario.command)

    def run(self, death: Point | None = None, *, hastened: bool = False) -> int:
        """The scenario's command."""
        code = self.forks.run(self.directory, *self.command, death=death, hastened=hastened)
        if code != KILLED:
            came_by = json.loads((self.directory / "points").read_text(encoding="utf-8"))
            self.points = [Point(*row) for row in came_by["points"]]
            self.reached.update(came_by["reached"])
        return code

    def finish(self) -> int:
        """The scenario's command, and the sweep that comes after it some day; the former's code."""
        code = self.run()
        if self.scenario.is_swept:
            self.must("sweep")
        return code

    def must(self, *command: str) -> None:
        """Run a command that is not to fail."""
        code = self.forks.run(self.directory, *command)
        assert code == 0, self.said

    def die(self, death: Point, *, hastened: bool = False) -> None:
        """Run the scenario's command, kill it there, and let what it held be free.

        A run that ends before it comes by one of the `TIMED` points so often dies an occurrence
        earlier, in another try: the faster of two runs writes them fewer times.
        """
        code = self.run(death, hastened=hastened)
        if code != KILLED and death.name in TIMED and death.occurrence > 1:
            self.reset()
            self.die(replace(death, occurrence=death.occurrence - 1), hastened=hastened)
            return
        assert code == KILLED, f"nobody came by {death}: exit {code}\n{self.said}"
        self.database.bury(self.directory)

    @property
    def said(self) -> str:
        """What all runs on this copy of the stage have printed."""
        return (self.directory / "said").read_text(encoding="utf-8")

    def add_head(self, *, is_seen: bool = False) -> None:
        """Add a more recent thread; one `is_seen` was looked at and is not up for review."""
        head = Key("main", self.kind, self._put())
        with Registry.open(self.database.url(self.directory)) as registry:
            registry.registrations.add(
                [Registration(head, OLD, NOW, metadata={"plan": "old"})], NOW
            )
            if is_seen:
                seen = Sightings(NOW, baseline_at=OLD, alive_at=OLD)
                later = NOW + timedelta(days=1)
                registry.settlements.settle(
                    [Settlement(head, later, sightings=seen, upstream={"own": "1"})]
                )

    def tear_object(self) -> None:
        """Leave half of the object in the archive, as a disk may that lost its power."""
        [path] = (self.directory / "archive").rglob("*.zst")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def lose_object(self) -> None:
        """Remove the object from the archive, as a person may."""
        [path] = (self.directory / "archive").rglob("*.zst")
        path.unlink()

    def let_copy_end(self) -> None:
        """Let the time be over for which the copy is kept."""
        at = NOW - timedelta(days=380)
        said = f"'{at:%Y-%m-%d %H:%M:%S}'"
        self._set(f"archive_keep_until = {said}, deleted_at = {said}")

    def tell_in_table(self) -> None:
        """Put the container into a table of the application's."""
        with closing(sqlite3.connect(self.directory / "app.db")) as table, table:
            table.execute("CREATE TABLE chats (id, kind, updated_at)")
            table.execute("INSERT INTO chats VALUES (?, ?, ?)", (self.key.id, self.kind, str(OLD)))

    def make_due(self) -> None:
        """Let the time of the next review come."""
        self._set(f"review_at = '{OLD:%Y-%m-%d %H:%M:%S}'")

    def age_soft_delete(self, *, days: int) -> None:
        """Let so many days pass since the soft delete, and the time of the next review come."""
        at = NOW - timedelta(days=days)
        self._set(f"soft_deleted_at = '{at:%Y-%m-%d %H:%M:%S}'")
        self.make_due()

    def _set(self, assignment: str) -> None:
        self.database.execute(self.directory, f"UPDATE thread SET {assignment}")  # noqa: S608 - ours

    def refuse(self) -> None:
        """Let the server refuse the credential from now on."""
        self.emulator.add_fault(Fault(How.STATUS, status=401))

    def forget(self) -> None:
        """Let the container vanish from the server."""
        del self.emulator._world.containers[self.key.id]

    def save(self) -> None:
        """Remember everything as it is now."""
        world = self.emulator._world
        self._upstream = deepcopy((world.containers, world.orphans)), self.emulator.deletes
        self._copy(self.directory, self.saved)

    def reset(self) -> None:
        """Let everything be as it was when it was saved."""
        world = self.emulator._world
        kept, deletes = self._upstream
        world.containers, world.orphans = deepcopy(kept)
        self.emulator.clear_log()
        self.emulator._site.log.deletes.update(deletes)
        self._copy(self.saved, self.directory)

    def _copy(self, source: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        self.database.copy(source, target)

    def close(self) -> None:
        """Remove the databases, and end the server's faults; the directories are the test's."""
        self.emulator.clear_faults()
        for directory in (self.directory, self.saved):
            self.database.drop(directory)
