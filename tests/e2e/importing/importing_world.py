"""A directory to import in, and files with broken lines of every sort at known places."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from peak import MEASURED
from started import start
from world import Done, finished

from janitor.errors import ConfigError
from janitor.registry import Registry

CONFIG = """\
version: 1
mode: audit
registry: {{url: "{url}"}}
projects:
  main: {{api_key: {{env: JANITOR_OFFICE_KEY}}}}
policies:
  - {{name: all, default: true, delete: {{after: 30d}}}}
"""
HEAD = "id,kind,created_at,last_active_at,metadata.user_id,metadata.plan"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
BROKEN = (
    "conv {n},conversation,,,,",
    "conv_{n},conversation,soon,,,",
    "conv_{n},chat,,,,",
    "session-{n},,,,,",
    "conv_{n},a,b,c,d,e,f",
    'conv_{n},"conversation"x,,,,',
    'conv_{n},"conversation,,,,',
    "conv_{n},,,,," + "x" * 600,
)


@dataclass
class Office:
    """Calls commands in a directory of its own; where it `is_measured` they tell their memory."""

    directory: Path
    url: str = "sqlite:///janitor.db"
    is_measured: bool = False
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        text = CONFIG.format(url=self.url)
        (self.directory / "janitor.yaml").write_text(text, encoding="utf-8")

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Begin a command in a process of its own."""
        named = ("--config", "janitor.yaml", *arguments)
        options: dict[str, Any] = {
            "cwd": self.directory,
            "stdin": stdin,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        process: subprocess.Popen[bytes]
        if self.is_measured:
            process = subprocess.Popen([sys.executable, "-c", MEASURED, *named], **options)
        else:
            process = start("janitor", *named, **options)
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> Done:
        """Call a command, and wait for its end however long it takes."""
        process = self.start(*arguments)
        out, err = process.communicate()
        return Done(process.returncode, out.decode(), err.decode())

    def end(self) -> None:
        """End every process that still runs."""
        for process in self.started:
            process.kill()
            process.communicate()

    def has_begun(self) -> bool:
        """Whether a page has entered the registry."""
        with suppress(ConfigError), self.registry() as registry:
            return next(registry.registrations.stream(), None) is not None
        return False

    def registry(self) -> Registry:
        """The registry, to look at."""
        url = self.url.replace("sqlite:///", f"sqlite:///{self.directory}/")
        return Registry.open(url, read_only=True)

    def exported(self) -> bytes:
        """Everything that is registered, as the command writes it."""
        done = self.run("export", "--registry", "-o", "all.jsonl")
        assert done.code == 0, done.err
        return (self.directory / "all.jsonl").read_bytes()

    def rejects(self, name: str = "rejects.jsonl") -> list[dict[str, Any]]:
        """What an import refused, as its file says."""
        text = (self.directory / name).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


def killed(process: subprocess.Popen[bytes], signum: int) -> Done:
    """How a process ended that was sent a signal."""
    process.send_signal(signum)
    return finished(process)


def memory(done: Done) -> int:
    """The most memory that a command ever held, in bytes."""
    return int(done.err.split()[-1]) << 10


def write_table(path: Path, number: int, *, broken: float = 0.0, seed: int = 7) -> list[int]:
    """A CSV of so many rows; gives the numbers of the lines that are none."""
    chance, wrong = random.Random(seed), []  # noqa: S311 - the same each time
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{HEAD}\n")
        for n in range(number):
            if chance.random() < broken:
                wrong.append(n + 2)
                file.write(f"{BROKEN[len(wrong) % len(BROKEN)].format(n=n)}\n")
            else:
                file.write(f"{_row(n, chance)}\n")
    return wrong


def _row(n: int, chance: random.Random) -> str:
    created, active = BEGAN + timedelta(minutes=n), BEGAN + timedelta(minutes=n, days=n % 90)
    plan = ("trial", "pro", "")[n % 3]
    thread = f"conv_{n:08x}{chance.getrandbits(64):016x}"
    return f"{thread},,{created.isoformat()},{active.isoformat()},u{n % 5000},{plan}"
