"""A running `janitor serve`: what it answers, what it logs, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from started import start as process_start
from world import DEADLINE, World, until

SERVICE = 'schedule: {{every: {every}}}\nservice: {{listen: "127.0.0.1:0", {more}}}\n'
Start = Callable[..., "Serving"]


@dataclass
class Serving:
    """One process; its log goes to a file."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int = field(init=False, default=0)

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log's lines, where it is JSON; a line that is being written is left out."""
        return [
            json.loads(line) for line in self.text.splitlines(keepends=True) if line[-1] == "\n"
        ]

    def begin(self) -> None:
        """Wait until it listens."""
        until(lambda: self.process.poll() is not None or "serving on port" in self.text)
        found = re.search(r"serving on port (\d+)", self.text)
        assert found is not None, self.text
        self.port = int(found[1])

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=240) as said:
                return said.status, said.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float | None:
        """One sample's value, `None` where there is none of these labels."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        found = (one for family in families for one in family.samples if one.name == name)
        return next((one.value for one in found if labels.items() <= one.labels.items()), None)

    def sweeps(self) -> float:
        """How many sweeps have ended, in whatever way."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        samples = (one for family in families for one in family.samples)
        return sum(one.value for one in samples if one.name == "janitor_sweeps_total")

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Signal it, wait for its end, and give its exit code."""
        self.process.send_signal(signum)
        return self.process.wait(DEADLINE)


def scheduled(world: World, every: str = "1h", more: str = "") -> None:
    """Add a schedule and a free port to the world's configuration."""
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text + SERVICE.format(every=every, more=more), encoding="utf-8")


@pytest.fixture
def serving(world: World) -> Iterator[Start]:
    """Starts `janitor serve` in the world and waits until it listens."""
    started: list[Serving] = []

    def start(*options: str, **environment: str) -> Serving:
        log = world.directory / f"serve-{len(started)}.log"
        with log.open("wb") as stderr:
            process = process_start(
                "janitor",
                *world.arguments(*options),
                "serve",
                env={**os.environ, **world.environment, **environment},
                cwd=world.directory,
                stderr=stderr,
            )
        started.append(Serving(process, log))
        started[-1].begin()
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
