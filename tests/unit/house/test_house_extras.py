"""Who installs the program without its extras has all of it but what the extras are for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = re.compile(r"[\w.-]+")
# Stands for an installation without them: each is there for the tests.
HIDING = """
import sys


class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Hidden())
"""
RUNNING = """
from janitor.cli import execute

sys.exit(execute(sys.argv[1:]))
"""
IMPORTING = """
import importlib, pkgutil, janitor

for found in pkgutil.walk_packages(janitor.__path__, "janitor."):
    if not found.name.endswith(".__main__") and ".migrations." not in found.name:
        importlib.import_module(found.name)
"""


def distributions(requirements: list[str]) -> set[str]:
    found = (NAME.match(requirement) for requirement in requirements)
    return {match[0].lower().replace("_", "-") for match in found if match is not None}


def extras() -> list[str]:
    """The packages that only an extra brings, as they are imported."""
    ours = distributions(PROJECT["dependencies"])
    theirs = {name for e in PROJECT["optional-dependencies"].values() for name in distributions(e)}
    return sorted(
        module
        for module, names in packages_distributions().items()
        if {name.lower().replace("_", "-") for name in names} & (theirs - ours)
    )


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_script(RUNNING, directory, *arguments)


def run_script(script: str, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    hidden = f"HIDDEN = {json.dumps(extras())}\n{HIDING}"
    return subprocess.run(
        [sys.executable, "-c", hidden + script, *arguments],
        cwd=directory,
        env={"PATH": "", "OPENAI_API_KEY": "sk-of-a-test"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_extras_are_known() -> None:
    assert {"psycopg", "sqlalchemy_dlock", "cysystemd", "pytest"} <= {*extras()}
    assert not {"sqlalchemy", "openai", "rich"} & {*extras()}


def test_without_extras_a_registry_in_a_file_is_worked(tmp_path: Path) -> None:
    for command in (
        "init",
        "validate",
        "import --id conv_1",
        "list",
        "plan --offline",
        "explain conv_1",
        "runs",
        "hold list",
        "doctor --privacy",
        "archive prune --dry-run",
        "export --registry",
        "missing list",
        "pause --reason r",
        "resume",
        "db upgrade",
    ):
        done = run(tmp_path, *command.split())
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_without_extras_every_module_is_imported() -> None:
    done = run_script(IMPORTING, Path.cwd())
    assert done.returncode == 0, done.stderr


def test_without_extras_postgresql_says_what_to_install(tmp_path: Path) -> None:
    assert run(tmp_path, "init").returncode == 0
    file = tmp_path / "config" / "janitor.yaml"
    text = file.read_text(encoding="utf-8")
    address = re.compile(r"sqlite:///[^\s\"]+")
    file.write_text(address.sub("postgresql+psycopg://a@localhost/b", text), encoding="utf-8")
    done = run(tmp_path, "list")
    assert done.returncode == 2
    assert "postgres" in done.stderr
    assert "install" in done.stderr
    assert "Traceback" not in done.stderr
