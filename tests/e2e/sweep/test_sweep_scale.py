"""Thousands of due conversations through the command line, against an API in its own process.

`JANITOR_SCALE` sets how many; what the registry, the API, the events, the report and the metrics
say of them must be one and the same, and memory must not follow the number.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from peak import MEASURED

from janitor.model import State
from janitor.registry import Registry

SCALE = int(os.environ.get("JANITOR_SCALE", "2000"))
GROWTH = 16 << 20
ITEMS = 2
KEY = "sk-scale"
CREATED_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(days=60)

CONFIG = """\
version: 1
mode: enforce
registry: {{url: "sqlite:///janitor.db"}}
projects:
  main:
    api_key: {{env: JANITOR_SCALE_KEY}}
    base_url: "{base_url}"
    rate: {{delete: unlimited, read: unlimited, write: unlimited}}
archive: {{url: "file://archive", keep_for: 1y}}
limits: {{max_percent: 100}}
policies:
  - {{name: all, default: true, archive: {{after: 7d}}, delete: {{after: 30d}}}}
"""


Ask = Callable[[str, str, object], Any]


@contextmanager
def door(base_url: str) -> Iterator[Ask]:
    """The emulator's own door, over one connection."""
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc)

    def ask(method: str, path: str, body: object) -> Any:  # noqa: ANN401 - JSON
        connection.request(method, f"/_emulator{path}", json.dumps(body))
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said
        return json.loads(said)

    with closing(connection):
        yield ask


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep of `ids` left behind; `memory` in bytes."""

    directory: Path
    ids: list[str]
    report: dict[str, Any]
    memory: int
    counts: dict[str, Any]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    command = [sys.executable, "-m", "janitor.emulator", "--key", f"{KEY}=main"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def janitor(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MEASURED, "--config", "janitor.yaml", "--output", "json"]
    environment = os.environ | {"JANITOR_SCALE_KEY": KEY}
    return subprocess.run(
        [*command, *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def filled(base_url: str, number: int) -> list[str]:
    container = {"kind": "conversation", "created_at": CREATED_AT.timestamp(), "items": ITEMS}
    with door(base_url) as ask:
        ids = [ask("POST", "/containers", container)["id"] for _ in range(number)]
        ask("DELETE", "/log", {})
    return ids


def swept(directory: Path, base_url: str, number: int) -> Swept:
    directory.mkdir()
    (directory / "janitor.yaml").write_text(CONFIG.format(base_url=base_url))
    ids = filled(base_url, number)
    rows = [f"{one},{CREATED_AT.isoformat()}" for one in ids]
    table = "\n".join(["id,last_active_at", *rows])
    (directory / "threads.csv").write_text(table)
    imported = janitor(directory, "import", "threads.csv")
    assert imported.returncode == 0, imported.stderr
    done = janitor(directory, "sweep", "--metrics-textfile", "janitor.prom")
    assert done.returncode == 0, done.stderr
    memory = int(done.stderr.split()[-1]) << 10
    with door(base_url) as ask:
        counts = ask("GET", "/counts", {})
    return Swept(directory, ids, json.loads(done.stdout), memory, counts)


@pytest.fixture(scope="module")
def sweeps(base_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Swept, Swept]:
    root = tmp_path_factory.mktemp("scale")
    return swept(root / "few", base_url, SCALE // 3), swept(root / "many", base_url, SCALE)


def samples(text: str, name: str) -> dict[str, float]:
    """The samples of a metric by their labels, as the text format writes them."""
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    parts = [line.removeprefix(name).rpartition(" ") for line in lines]
    return {labels: float(value) for labels, _, value in parts}


@pytest.mark.timeout(1800)
def test_every_count_says_the_same(sweeps: tuple[Swept, Swept]) -> None:
    for one in sweeps:
        number = len(one.ids)
        outcomes = {
            (row["stage"], row["outcome"]): row["threads"] for row in one.report["outcomes"]
        }
        assert outcomes == {("archive", "done"): number, ("delete", "done"): number}
        assert one.report["result"] == "done"
        deletes = one.counts["deletes"]
        assert {deletes[one_id] for one_id in one.ids} == {1}
        assert len(deletes) == number * (1 + ITEMS)
        assert set(deletes.values()) == {1}
        assert_metrics(one)
        assert_registry(one)


def assert_metrics(one: Swept) -> None:
    text = (one.directory / "janitor.prom").read_text()
    number = len(one.ids)
    actions = samples(text, "janitor_actions_total")
    assert sorted(actions.values()) == [number, number]
    threads = samples(text, "janitor_threads")
    assert sum(count for labels, count in threads.items() if '"deleted"' in labels) == number
    requests = samples(text, "janitor_api_requests_total")
    deletes = sum(count for labels, count in requests.items() if '"delete"' in labels)
    assert deletes == one.counts["methods"]["DELETE"] == number * (1 + ITEMS)
    assert sum(requests.values()) == sum(one.counts["methods"].values())
    stored = sum(path.stat().st_size for path in (one.directory / "archive").rglob("*.zst"))
    assert samples(text, "janitor_archive_bytes_total") == {'{project="main"}': stored}


def assert_registry(one: Swept) -> None:
    number, run = len(one.ids), one.report["run"]
    with Registry.open(f"sqlite:///{one.directory / 'janitor.db'}", read_only=True) as registry:
        assert list(registry.threads.states().values()) == [number]
        events = Counter(event.name for event in registry.runs.events(run))
        assert events == {"archived": number, "deleted": number}
        closed = registry.runs.get(run)
        assert closed is not None
        assert closed.counts == {"all/archive/done": number, "all/delete/done": number}
        assert registry.runs.first_broken() is None
        entries = list(registry.threads.select(state=State.DELETED))
    assert {entry.thread.key.id for entry in entries} == set(one.ids)
    root = one.directory / "archive"
    paths = {entry.thread.copy.path for entry in entries if entry.thread.copy is not None}
    assert {path.relative_to(root).as_posix() for path in root.rglob("*.zst")} == paths
    assert len(paths) == number


@pytest.mark.timeout(1800)
def test_memory_does_not_follow_the_number(sweeps: tuple[Swept, Swept]) -> None:
    few, many = sweeps
    assert many.memory - few.memory <= GROWTH
