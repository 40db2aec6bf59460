"""Where the chat application runs: an emulated API, a janitor's registry, and what came of it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chat_application import run
from chat_settings import Settings, shown
from openai import OpenAI
from world import DEADLINE, World

import janitor
from janitor.registry import Registry
from janitor.tracking import deliver, flush

APPLICATION = Path(__file__).with_name("chat_application.py")
WARM = Path(__file__).with_name("chat_warm.py")
JOURNAL = "journal.jsonl"
TAG = "janitor_created_at"


@dataclass(slots=True)
class House:
    """A janitor on `url`, and an application that tracks into `tracked`."""

    world: World
    url: str
    tracked: str

    @property
    def spool(self) -> Path:
        return self.world.directory / "given"

    @property
    def journal(self) -> Path:
        return self.world.directory / JOURNAL

    def use(self, url: str) -> None:
        """Have the janitor and the application use another registry."""
        text = self.world.config.read_text(encoding="utf-8").replace("sqlite:///janitor.db", url)
        self.world.config.write_text(text, encoding="utf-8")
        self.url = self.tracked = url

    def settings(self, **said: Any) -> Settings:  # noqa: ANN401
        """What the application is started with."""
        given = {"base_url": self.world.base_url, "key": self.world.emulator.key}
        given |= {"journal": str(self.journal), "registry": self.tracked}
        return Settings(**given | said)

    def hold(self, **said: Any) -> list[str]:  # noqa: ANN401
        """Be the application in this process; the transcript."""
        settings = self.settings(**said)
        run(settings)
        return settings.transcript

    def process(self, **said: Any) -> str:  # noqa: ANN401
        """Be the application in a process of its own; the transcript."""
        done = subprocess.run(
            [sys.executable, str(APPLICATION)],
            input=shown(self.settings(**said)) + "\n",
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def notes(self) -> list[dict[str, Any]]:
        """What the journal says."""
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def made(self) -> dict[str, dict[str, Any]]:
        """What the application made, by id."""
        return {note["id"]: note for note in self.notes() if note["event"] == "made"}

    def settle(self) -> None:
        """Be the process that tracks next, and wait until all that was told is in the registry."""
        assert flush(DEADLINE)
        if self.tracked.startswith("spool:"):
            deliver(self.spool, self.url)
            return
        with OpenAI(base_url=self.world.base_url, api_key="k") as client:
            janitor.track(client, self.tracked).close()
        assert flush(DEADLINE)

    def listed(self) -> dict[str, dict[str, Any]]:
        """What `janitor list` shows once everything is delivered, by id."""
        self.settle()
        with Registry.open(self.url) as registry:
            registry.inbox.drain(datetime.now(UTC))
        done = self.world.run("--output", "jsonl", "list")
        assert done.code == 0, done.err
        return {row["id"]: row for row in done.lines}

    def told(self) -> Counter[str]:
        """How many notices of each container were told."""
        with closing(sqlite3.connect(self.world.registry)) as connection:
            return Counter(one for (one,) in connection.execute("SELECT id FROM janitor_inbox"))

    def wrong(self) -> dict[str, object]:
        """How registry and server differ from the journal, by id; at best there is nothing."""
        made, rows = self.made(), self.listed()
        changed = {note["id"] for note in self.notes() if note["event"] != "made"}
        found: dict[str, object] = dict.fromkeys(rows.keys() - made.keys(), "only in the registry")
        for one, note in made.items():
            row = rows.get(one)
            found[one] = "lost" if row is None else wrong_in(row, note)
            if one not in changed and self.world.emulator.exists(one):
                found[one] = found[one] or wrong_upstream(self.world.emulator.metadata(one), note)
        return {one: what for one, what in found.items() if what}


def wrong_upstream(upstream: dict[str, str], note: dict[str, Any]) -> dict[str, str]:
    """What the server was told, where it is not what the application and tracking meant."""
    own = note["given"].get("metadata") or {}
    room = [key for key in (TAG, "plan") if key not in own][: 16 - len(own)]
    wanted = own | {key: note["told"].get(key, upstream.get(key)) for key in room}
    return {} if upstream == wanted else upstream


def wrong_in(row: dict[str, Any], note: dict[str, Any]) -> dict[str, object]:
    """What of a listed thread is not as the journal has it."""
    told = {key: str(value) for key, value in note["told"].items()}
    created = note["created_at"]
    wanted = {
        "project": "main",
        "kind": note["kind"],
        "state": "active",
        "metadata": told,
        "created_at": created and datetime.fromtimestamp(created, UTC).isoformat(),
    }
    wrong = {key: row[key] for key, value in wanted.items() if row[key] != value}
    if not is_within(row, note):
        wrong["last_active_at"] = row["last_active_at"]
    return wrong


def is_within(row: dict[str, Any], note: dict[str, Any]) -> bool:
    """Whether a thread was last active in the time of one call."""
    times = (note["began"], row["last_active_at"], note["ended"])
    began, active, ended = map(datetime.fromisoformat, times)
    return began <= active <= ended


class Warm:
    """A process that starts applications within milliseconds."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(WARM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, settings: Settings) -> int:
        """Begin an application; the id of its process."""
        assert self._server.stdin is not None
        self._server.stdin.write(shown(settings) + "\n")
        self._server.stdin.flush()
        return self._answer()

    def ended(self) -> int:
        """The exit code of the application that was begun."""
        return self._answer()

    def run(self, settings: Settings) -> str:
        """Be the application from start to end; the transcript."""
        self.start(settings)
        assert self.ended() == 0
        return Path(f"{settings.journal}.transcript").read_text(encoding="utf-8")

    def kill(self, process: int) -> int:
        """Kill an application; its exit code."""
        os.kill(process, signal.SIGKILL)
        return self.ended()

    def close(self) -> None:
        """End the server."""
        self._server.communicate()

    def _answer(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())
