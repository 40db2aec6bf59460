"""The Dockerfile as a text: what can be told without building it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from janitor.distribution import VERSION

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
PLACE = re.compile(r"https?://|index.url|find.links|trusted.host", re.IGNORECASE)

# Where CI is set, a missing tool is a failure and not a skip.
needs_hadolint = pytest.mark.skipif(
    not (BIN / "hadolint").exists() and not os.environ.get("CI"),
    reason="hadolint is not installed",
)


@needs_hadolint
def test_the_linter_has_nothing_to_say_against_the_dockerfile() -> None:
    command = [str(BIN / "hadolint"), "--no-color", str(ROOT / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_image_runs_as_a_user_that_is_a_number_and_not_root() -> None:
    users = re.findall(r"^USER (.*)$", recipe(), re.MULTILINE)
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


def test_the_image_says_which_version_it_holds() -> None:
    assert f'org.opencontainers.image.version="{VERSION}"' in recipe()


def test_what_the_image_copies_is_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", recipe(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == {line.removeprefix("!") for line in ignore if line.startswith("!")}


def test_packages_come_from_where_the_builder_says() -> None:
    assert PLACE.search(recipe()) is None


def test_the_tools_of_the_build_that_are_locked_are_those_that_it_requires() -> None:
    assert project()["dependency-groups"]["build"] == project()["build-system"]["requires"]


def project() -> dict[str, Any]:
    """What pyproject.toml says."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def recipe() -> str:
    """The Dockerfile's text."""
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")
