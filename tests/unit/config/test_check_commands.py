from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "config" / "janitor.yaml"
FIXTURES = ROOT / "config" / "policies_test.yaml"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}


def janitor(cwd: Path, *args: str, key: str | None = "x") -> subprocess.CompletedProcess[str]:
    environment = ENVIRONMENT if key is None else {**ENVIRONMENT, "OPENAI_API_KEY": key}
    return subprocess.run(
        [sys.executable, "-m", "janitor", *args],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_example_is_explained(tmp_path: Path) -> None:
    done = janitor(tmp_path, "validate", str(EXAMPLE))
    assert done.returncode == 0, done.stderr
    assert "30d + 90d = 120d" in done.stdout
    machine = janitor(tmp_path, "--output", "json", "--config", str(EXAMPLE), "validate")
    document = json.loads(machine.stdout)
    assert document["schema"] == 1
    assert document["policies"][0]["name"] == "trial-chats"


def test_a_refused_file_exits_2_with_a_line_for_each_refusal(tmp_path: Path) -> None:
    refused = ROOT / "tests" / "refused" / "several_at_once.yaml"
    done = janitor(tmp_path, "validate", str(refused))
    assert done.returncode == 2
    assert f"{refused}:8:30 policies[0].match.metadata.plan: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_examples_fixtures_pass_without_a_key(tmp_path: Path) -> None:
    done = janitor(tmp_path, "--config", str(EXAMPLE), "test", str(FIXTURES), key=None)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("8 passed, 0 failed\n")


def test_a_failed_fixture_is_shown_as_a_difference(tmp_path: Path) -> None:
    changed = tmp_path / "policies_test.yaml"
    changed.write_text(FIXTURES.read_text().replace("stage: archive", "stage: delete"))
    call = ("--config", str(EXAMPLE), "test", str(changed))
    done = janitor(tmp_path, *call)
    assert done.returncode == 1
    assert "- t stage: delete\n     + t stage: archive" in done.stdout
    machine = janitor(tmp_path, "--output", "json", *call)
    assert machine.returncode == 1
    assert json.loads(machine.stdout)["failed"] == 1


def test_init_writes_what_validate_accepts_and_never_overwrites(tmp_path: Path) -> None:
    assert janitor(tmp_path, "init").returncode == 0
    written = tmp_path / "config" / "janitor.yaml"
    before = written.read_bytes()
    assert janitor(tmp_path, "validate").returncode == 0
    again = janitor(tmp_path, "init")
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert written.read_bytes() == before


def test_init_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file, no directory")
    done = janitor(tmp_path, "init")
    assert done.returncode == 2
    assert "config" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_schema_is_printed(tmp_path: Path) -> None:
    assert json.loads(janitor(tmp_path, "schema").stdout)["additionalProperties"] is False


@pytest.mark.parametrize("command", ["init", "validate", "schema", "test"])
def test_help_gives_an_example(tmp_path: Path, command: str) -> None:
    done = janitor(tmp_path, command, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
