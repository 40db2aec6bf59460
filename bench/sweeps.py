"""Sweeps of conversations that are due, as measures need them."""

from __future__ import annotations

import os
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

from server import Server

from janitor.cli import execute
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry

KEY = "BENCH_KEY"
OLD = datetime.now(UTC) - timedelta(days=90)
DELETE = "delete: {after: 30d, items: keep}"
ARCHIVE = f"archive: {{after: 7d, keep_for: 1y}}, {DELETE}"
CONFIG = """\
version: 1
mode: enforce
registry: {{url: "{registry}"}}
archive: {{url: "file://{directory}/archive"}}
projects:
  main:
    api_key: {{env: BENCH_KEY}}
    base_url: "{url}"
    concurrency: {at_once}
    timeout: 5m
    rate: {{delete: unlimited, read: unlimited, write: unlimited}}
limits: {{max_percent: 100}}
policies:
  - {{name: old, match: {{project: main}}, {stages}}}
"""


def prepare(
    directory: Path,
    server: Server,
    ids: list[str],
    *,
    at_once: int,
    stages: str,
    registry: str = "",
) -> Path:
    """A configuration file and a registry of these conversations, each of them due."""
    os.environ[KEY] = server.key
    directory.mkdir()
    address = registry or f"sqlite:///{directory / 'janitor.db'}"
    with Registry.open(address) as opened:
        keys = (Key("main", Kind.CONVERSATION, one) for one in ids)
        opened.registrations.add((Registration(key, OLD, OLD) for key in keys), OLD)
    config = directory / "janitor.yaml"
    text = CONFIG.format(
        registry=address, directory=directory, url=server.url, at_once=at_once, stages=stages
    )
    config.write_text(text, encoding="utf-8")
    return config


def sweep(config: Path) -> None:
    """One sweep in this process."""
    with redirect_stdout(StringIO()) as said, redirect_stderr(StringIO()) as warned:
        code = execute(["--config", str(config), "sweep"])
    assert code == 0, said.getvalue() + warned.getvalue()
