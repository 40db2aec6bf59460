"""Which packages each command imports: what it does not use must not make it slow to start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW_TO_IMPORT = frozenset(
    (
        *("aiohttp", "alembic", "apscheduler", "cronsim", "h11", "httpx2", "openai", "orjson"),
        *("prometheus_client", "psycopg", "pydantic", "pyrate_limiter", "pythonjsonlogger"),
        *("rich", "sqlalchemy", "sqlglot", "sqlmodel", "starlette", "uvicorn", "watchfiles"),
        *("yaml", "zstandard", "logging", "importlib.metadata"),
    )
)
FORMS = {"cronsim", "logging", "orjson", "pydantic", "yaml", "importlib.metadata"}
"""What reading a configuration takes."""
ROWS = FORMS | {"sqlalchemy", "sqlmodel"}
ROOMS = ROWS | {"httpx2", "prometheus_client", "pyrate_limiter", "rich", "zstandard"}
"""What the rooms of a run and a table take, without the SDK: the first call imports it."""

SCRIPT = """\
import json, sys
from janitor.cli import execute
execute(sys.argv[2:])
json.dump(sorted(sys.modules), open(sys.argv[1], "w"))
"""
CONFIG = """\
version: 1
registry: {{url: "sqlite:///{directory}/janitor.db"}}
archive: {{url: "file://{directory}/archive"}}
projects: {{main: {{api_key: {{env: KEY}}, base_url: "http://127.0.0.1:9"}}}}
policies:
  - {{name: old, match: {{project: main}}, delete: {{after: 30d}}}}
"""


def imported(directory: Path, *arguments: str) -> frozenset[str]:
    """Which packages that are slow to import a command has imported by its end."""
    modules = directory / "modules.json"
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(modules), *arguments],
        env=os.environ | {"KEY": "sk-test"},
        capture_output=True,
        timeout=600,
        check=True,
    )
    return SLOW_TO_IMPORT.intersection(json.loads(modules.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose registry has a thread."""
    directory = tmp_path_factory.mktemp("imports")
    file, threads = directory / "janitor.yaml", directory / "threads.jsonl"
    file.write_text(CONFIG.format(directory=directory), encoding="utf-8")
    threads.write_text('{"id": "conv_1"}\n', encoding="utf-8")
    imported(directory, "--config", str(file), "import", str(threads))
    return file


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("completion", "bash")])
def test_what_reads_no_file_imports_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert imported(tmp_path, *arguments) <= {"logging"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("schema",), FORMS),
        (("runs",), ROOMS),
        (("list",), ROOMS),
        (("list", "--output", "json"), ROOMS),
        (("explain", "conv_1"), ROOMS),
        (("missing", "list"), ROOMS),
        (("export",), ROOMS),
        (("hold", "list"), ROOMS),
        (("import", "threads.jsonl"), ROOMS),
        (("validate",), ROOMS),
        (("plan", "--offline"), ROOMS),
        (("db", "upgrade"), ROOMS | {"alembic"}),
    ],
)
def test_what_asks_no_server_imports_no_sdk(
    arguments: tuple[str, ...], expected: set[str], config: Path, tmp_path: Path
) -> None:
    words = [str(config.with_name(word)) if word.endswith(".jsonl") else word for word in arguments]
    assert imported(tmp_path, "--config", str(config), *words) <= expected
