"""Two projects, `legal` and `main`, and each way in which the first of them can fail."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from world import KEY, KEY_VARIABLE, NOW, World

from janitor.emulator import Emulator

AGE = 90
OLD = (NOW - timedelta(days=AGE)).isoformat()
DELETE = "  - {name: old, default: true, delete: {after: 30d}}\n"
MORE = "concurrency: 10, rate: {delete: unlimited, read: unlimited, write: unlimited}"


@dataclass(frozen=True, slots=True)
class Broken:
    """How `legal` fails: what a person is told of it, and how a sweep of many such threads ends."""

    said: str
    code: int
    key: str | None = "sk-legal"

    def __str__(self) -> str:
        return self.said


REFUSED = Broken("HTTP 401", 3, key="sk-nobody")
UNREADABLE = Broken("legal.key cannot be read: No such file or directory", 3, key=None)
NOT_THERE = Broken("it refused the connection; is it running?", 4)
SILENT = Broken("none came within 1 s", 4)
WITHOUT_TLS = Broken("it does not speak TLS as this machine does", 4)
ELSEWHERE = Broken("answered 'not found'", 4, key="sk-elsewhere")
EVERY = (REFUSED, UNREADABLE, NOT_THERE, SILENT, WITHOUT_TLS)


class Pair(World):
    """A world whose projects `legal` and `main` have accounts of their own at one server."""

    def settle(self, policies: str = DELETE) -> None:
        """Configure both; `legal` comes first, and nothing is wrong with it."""
        self._configure(policies, self.base_url, "sk-legal", "10s")

    @contextmanager
    def broken(self, how: Broken, policies: str = DELETE) -> Iterator[None]:
        """Let `legal` fail."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            if how is SILENT:
                taken.listen(1000)
            address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
            if how is WITHOUT_TLS:
                address = self.base_url.replace("http:", "https:")
            elif how not in (NOT_THERE, SILENT):
                address = self.base_url
            self._configure(policies, address, how.key, "1s" if how is SILENT else "10s")
            yield

    def _configure(self, policies: str, address: str, key: str | None, timeout: str) -> None:
        self.configure(policies)
        secret = self.directory / "legal.key"
        secret.unlink(missing_ok=True)
        if key is not None:
            secret.write_text(key)
            secret.chmod(0o600)
        said = f'api_key: {{file: legal.key}}, base_url: "{address}", timeout: {timeout}, {MORE}'
        text = self.config.read_text()
        self.config.write_text(text.replace("projects:\n", f"projects:\n  legal: {{{said}}}\n"))

    def put(self, project: str, number: int, age: float = AGE, **metadata: str) -> list[str]:
        """Conversations of a project, at the server and in the registry."""
        at = NOW - timedelta(days=age)
        ids = [
            self.emulator.add_conversation(
                project=project, created_at=at, metadata=metadata, items=2
            )
            for _ in range(number)
        ]
        self.register_keys(project, ids, age, **metadata)
        return ids

    def register_keys(
        self, project: str, ids: list[str], age: float = AGE, **metadata: str
    ) -> None:
        """Import threads of a project, whether the server knows them or not."""
        at = (NOW - timedelta(days=age)).isoformat()
        said = {"created_at": at, "last_active_at": at}
        rows = [{"project": project, "id": one, **said, "metadata": metadata} for one in ids]
        file = self.directory / "rows.jsonl"
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        done = self.run("import", str(file))
        assert done.code == 0, done.err

    def kept(self, ids: list[str]) -> int:
        """How many of these the server still has."""
        return sum(self.emulator.exists(one) for one in ids)


@contextmanager
def pair_in(directory: Path) -> Iterator[Pair]:
    """A pair with an empty server and no registry yet."""
    emulator = Emulator({KEY: "main", "sk-legal": "legal", "sk-elsewhere": "elsewhere"})
    with emulator.serve() as served:
        made = Pair(directory, emulator, served.base_url, {KEY_VARIABLE: KEY})
        made.settle()
        yield made
        made.end()
