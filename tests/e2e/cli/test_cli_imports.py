"""Which packages each command imports: what it does not use must not make it slow to start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from world import NOW

from janitor.archive.object_format import Header, ObjectWriter
from janitor.model import Key, Kind, Record

SLOW_TO_IMPORT = frozenset(
    (
        *("aiohttp", "alembic", "anyio", "apscheduler", "cronsim", "email", "h11", "httpx2"),
        *("importlib.metadata", "logging", "multiprocessing", "openai", "orjson"),
        *("prometheus_client", "psycopg", "pydantic", "pyrate_limiter", "pythonjsonlogger"),
        "sqlalchemy.dialects.postgresql",
        *("rich", "sqlalchemy", "sqlglot", "sqlmodel", "starlette", "urllib.request", "uvicorn"),
        *("watchfiles", "yaml", "zstandard"),
    )
)
FORMS = {"cronsim", "email", "logging", "orjson", "pydantic", "yaml", "importlib.metadata"}
"""What reading a configuration takes."""
ROWS = FORMS | {"sqlalchemy", "sqlmodel"}
"""What reading the registry takes."""
TABLE = ROWS | {"rich"}
ENGINE = ROWS | {"zstandard"}
"""What deciding from the registry takes: the engine knows archives."""
CALLS = ENGINE | {"httpx2", "multiprocessing", "pyrate_limiter", "urllib.request"}
"""What a run takes before its first call, for which the SDK is imported."""
HTTP = {"email", "httpx2", "importlib.metadata", "logging", "urllib.request"}
"""What an HTTP client takes."""
COMMANDS: dict[str, set[str]] = {
    "--help": set(),
    "--version": set(),
    "completion bash": {"logging"},
    **dict.fromkeys(("schema", "init new.yaml", "test tests.yaml"), FORMS),
    **dict.fromkeys(("list --output json", "export"), ROWS),
    **dict.fromkeys(("pause --reason x", "missing list"), ROWS),
    **dict.fromkeys(("list", "hold list"), TABLE),
    **dict.fromkeys(("resume", "validate", "db upgrade", "runs --output json"), ENGINE),
    **dict.fromkeys(("import threads.jsonl", "import threads.jsonl --dry-run"), ENGINE),
    **dict.fromkeys(("explain conv_1", "runs"), ENGINE | {"rich"}),
    "plan --offline": CALLS | {"rich"},
    "archive prune --dry-run": CALLS,
    "archive show object.jsonl.zst": {"logging", "orjson", "zstandard"},
}
"""The most that each command may import. Each is run, on a registry with one thread and a pause."""

SCRIPT = """\
import json, sys
from janitor.cli import execute
code = execute(sys.argv[2:])
json.dump([code, *sorted(sys.modules)], open(sys.argv[1], "w"))
"""
TRACKING = """\
import json, sys
from janitor import track
json.dump([0, *sorted(sys.modules)], open(sys.argv[1], "w"))
"""
CONFIG = """\
version: 1
registry: {url: "sqlite:///janitor.db"}
archive: {url: "file://archive"}
projects: {main: {api_key: {env: KEY}, base_url: "http://127.0.0.1:9"}}
policies:
  - {name: old, match: {project: main}, delete: {after: 30d}}
"""
TESTS = """\
- name: an old conversation goes
  now: 2026-03-01T00:00:00Z
  thread: {kind: conversation, last_active_at: 2026-01-01T00:00:00Z, metadata: {}}
  expect: {stage: delete}
"""


def imported(directory: Path, script: str, *arguments: str) -> tuple[int, frozenset[str]]:
    """The exit code of a script, and which packages that are slow to import it has imported."""
    modules = directory / "modules.json"
    subprocess.run(
        [sys.executable, "-c", script, str(modules), *arguments],
        env=os.environ | {"KEY": "sk-test"},
        cwd=directory,
        capture_output=True,
        timeout=600,
        check=True,
    )
    code, *names = json.loads(modules.read_text(encoding="utf-8"))
    return code, SLOW_TO_IMPORT.intersection(names)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a configuration, whose registry has a thread and a pause."""
    directory = tmp_path_factory.mktemp("imports")
    (directory / "janitor.yaml").write_text(CONFIG, encoding="utf-8")
    (directory / "tests.yaml").write_text(TESTS, encoding="utf-8")
    (directory / "threads.jsonl").write_text('{"id": "conv_1"}\n', encoding="utf-8")
    header = Header(Key("main", Kind.CONVERSATION, "conv_1"), None, NOW, frozenset())
    writer = ObjectWriter(lambda _: None, header)
    writer.add([Record("conv_1", b'{"id":"conv_1"}', is_item=False)])
    (directory / "object.jsonl.zst").write_bytes(writer.close())
    assert imported(directory, SCRIPT, *GIVEN, "import", "threads.jsonl")[0] == 0
    assert imported(directory, SCRIPT, *GIVEN, "pause", "--reason", "x")[0] == 0
    return directory


GIVEN = ("--config", "janitor.yaml")


@pytest.mark.parametrize("command", ["--help", "--version", "completion bash"])
def test_what_reads_no_file_imports_nothing(command: str, tmp_path: Path) -> None:
    assert imported(tmp_path, SCRIPT, *command.split())[1] <= COMMANDS[command]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_imports_no_more_than_it_uses(
    command: str, registered: Path, tmp_path: Path
) -> None:
    shutil.copytree(registered, tmp_path, dirs_exist_ok=True)
    code, names = imported(tmp_path, SCRIPT, *GIVEN, *command.split())
    assert (code, names - COMMANDS[command]) == (0, frozenset())


def test_an_application_that_is_tracked_imports_an_http_client_alone(tmp_path: Path) -> None:
    assert imported(tmp_path, TRACKING)[1] <= HTTP
