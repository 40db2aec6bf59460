"""A janitor's world for end-to-end tests: an emulated API, a configuration, and ways to call it."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from started import start

from janitor.cli import execute
from janitor.emulator import Emulator

KEY = "sk-world"
KEY_VARIABLE = "JANITOR_WORLD_KEY"
AUTHORITY = Path(__file__).with_name("authority.pem")
"""All that is trusted: loopback speaks no TLS, and the world's authorities take long to read."""
DEADLINE = 240.0
NOW = datetime.now(UTC).replace(microsecond=0)

CONFIG = """\
version: 1
mode: {mode}
registry: {{url: "sqlite:///{registry}"}}
projects:
  main:
    api_key: {{env: JANITOR_WORLD_KEY}}
    base_url: "{base_url}"
    concurrency: {concurrency}
    rate: {{delete: unlimited, read: unlimited, write: unlimited}}
archive: {{url: "file://{archive}", keep_for: 1y}}
limits: {{max_percent: 100}}
policies:
{policies}
"""

POLICIES = """\
  - name: trial-chats
    match: {metadata: {plan: trial}}
    archive: {after: 7d}
    delete: {after: 30d}
  - name: marked
    match: {metadata: {plan: marked}}
    soft_delete: {after: 10d}
    delete: {after: 60d}
"""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:  # noqa: ANN401 - what JSON says
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON documents on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class World:
    """A directory with a configuration file, and the emulator that it points to."""

    directory: Path
    emulator: Emulator
    base_url: str
    environment: dict[str, str] = field(default_factory=dict)
    config: Path = field(init=False)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config = self.directory / "janitor.yaml"

    @property
    def registry(self) -> Path:
        return self.directory / "janitor.db"

    @property
    def archive(self) -> Path:
        return self.directory / "archive"

    def configure(
        self,
        policies: str = POLICIES,
        *,
        mode: str = "enforce",
        registry: str = "janitor.db",
        archive: str = "archive",
        concurrency: int = 4,
        base_url: str | None = None,
    ) -> None:
        """Write the configuration file."""
        text = CONFIG.format(
            mode=mode,
            registry=registry,
            archive=archive,
            concurrency=concurrency,
            base_url=base_url or self.base_url,
            policies=policies,
        )
        self.config.write_text(text, encoding="utf-8")

    def conversation(self, age: float = 45, *, items: int = 2, **metadata: str) -> str:
        """A conversation of so many days at the server; not yet registered."""
        return self.emulator.add_conversation(
            created_at=NOW - timedelta(days=age),
            metadata=metadata or {"plan": "trial"},
            items=items,
        )

    def register(self, *ids: str, age: float = 45, **metadata: str) -> None:
        """Import what an application would report of these conversations."""
        at = (NOW - timedelta(days=age)).isoformat()
        said = {"created_at": at, "last_active_at": at, "metadata": metadata or {"plan": "trial"}}
        file = self.directory / "threads.jsonl"
        file.write_text("".join(json.dumps({"id": one, **said}) + "\n" for one in ids))
        done = self.run("import", str(file))
        assert done.code == 0, done.err

    def fill(self, number: int, age: float = 45, **metadata: str) -> list[str]:
        """Put conversations at the server, register them, and give their ids."""
        ids = [self.conversation(age, items=2, **metadata) for _ in range(number)]
        self.register(*ids, age=age, **metadata)
        return ids

    def run(self, *arguments: str) -> Done:
        """Call a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        handlers = list(logging.getLogger().handlers)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            with redirect_stdout(out), redirect_stderr(err):
                code = execute(["--config", str(self.config), *arguments])
        # A log handler holds on to the stream of its first call.
        logging.getLogger().handlers[:] = handlers
        return Done(code, out.getvalue(), err.getvalue())

    def process(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Done:
        """Call a command in a process of its own."""
        process = start(
            "janitor",
            *self.arguments(*arguments),
            env={**os.environ, **self.environment, **(environment or {})},
            cwd=cwd or self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        out, err = process.communicate(stdin or b"", timeout=DEADLINE)
        return Done(process.returncode, out.decode(), err.decode())

    def start(self, *arguments: str, stdin: int | None = None) -> subprocess.Popen[bytes]:
        """Begin a command in a process of its own."""
        process = start(
            "janitor",
            *self.arguments(*arguments),
            env={**os.environ, **self.environment},
            cwd=self.directory,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """End every process that still runs."""
        for process in self.started:
            process.kill()
            process.communicate()

    def arguments(self, *arguments: str) -> list[str]:
        """The arguments of a process."""
        return ["--config", str(self.config), *arguments]

    def command(self, *arguments: str) -> list[str]:
        """The command line of a process."""
        return [sys.executable, "-m", "janitor", *self.arguments(*arguments)]

    @property
    def changes(self) -> list[str]:
        """The changing calls that the server has seen."""
        return [f"{e.method} {e.path}" for e in self.emulator.log if e.method != "GET"]

    def states(self) -> dict[str, str]:
        """The state of every registered thread."""
        done = self.run("--output", "jsonl", "list")
        assert done.code == 0, done.err
        return {row["id"]: row["state"] for row in done.lines}


def until(happened: Callable[[], bool]) -> None:
    """Wait for something that another process or thread does; fails after a deadline."""
    deadline = time.monotonic() + DEADLINE
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def finished(process: subprocess.Popen[bytes]) -> Done:
    """Wait for a process that was started."""
    out, err = process.communicate(timeout=DEADLINE)
    return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world with an empty server, a configuration that enforces, and no registry yet."""
    emulator = Emulator({KEY: "main"})
    with emulator.serve() as served:
        environment = {KEY_VARIABLE: KEY, "SSL_CERT_FILE": str(AUTHORITY)}
        made = World(tmp_path, emulator, served.base_url, environment)
        made.configure()
        yield made
        made.end()
