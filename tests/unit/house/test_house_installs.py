"""What installs this program takes it from a checkout or a built wheel, never from the index.

There `janitor` is a stranger's, and nothing is released as `thread-janitor` yet.
"""

from __future__ import annotations

import re
import tomllib

import pytest
from figures import ROOT

NAME = r"(?:thread[-_.])?janitor"
LOCAL = r"(?!\s*@\s*(?:file:|\.|/))"
INSTALLER = (
    r"\b(?:pip3?(?:\s--python\s\S+)?\s(?:install|download|wheel)|pipx\s(?:install|inject|run)"
    r"|uv\s(?:pip\sinstall|tool\s(?:install|run)|add|run\s--with)|uvx|easy_install"
    r"|(?:conda|mamba)\sinstall|(?:poetry|pdm|rye|hatch)\sadd)"
)
# Options and other packages may stand before the name; behind a path it is prose.
BETWEEN = r"(?:\s(?!['\"]?(?:\.|/|file:|\S*\.whl))[^\s`;&|]+){0,8}?"
REQUIREMENT = rf"\s['\"]?{NAME}(?:\[[^\]]*\])?{LOCAL}['\"]?(?:\.?(?:\s|$)|[`;&|,:)=<>~!@])"
FROM_THE_INDEX = re.compile(INSTALLER + BETWEEN + REQUIREMENT, re.IGNORECASE)
WITH_EXTRAS = re.compile(rf"(?<![\w./-]){NAME}\[[\w, -]+\]{LOCAL}", re.IGNORECASE)
INSTALLED_HERE = re.compile(
    r"pipx? install (?:--[\w-]+ )*'?(?P<path>\.)(?:\[(?P<extras>[\w,]+)\])?"
)

PLACES = ("*.md", "Dockerfile", "Makefile", ".ci/run", "docs/**/*", "config/**/*", "systemd/*")
TEXTS = sorted(
    path
    for pattern in (*PLACES, "bench/**/*", "janitor/**/*")
    for path in ROOT.glob(pattern)
    if path.is_file() and path.suffix != ".pyc"
)


def flat(text: str) -> str:
    """A text in one line, whether a comment, a string or a command went over several."""
    text = re.sub(r"[\"']\s*\n\s*f?[\"']", "", text.replace("\\\n", " "))
    return " ".join(re.sub(r"(?m)^\s*(?:#|//|>)+", "", text).split())


def from_the_index(text: str) -> list[str]:
    """Whatever in a text would take this program from the package index."""
    text = flat(text)
    return [found[0] for rule in (FROM_THE_INDEX, WITH_EXTRAS) for found in rule.finditer(text)]


@pytest.mark.parametrize(
    "line",
    [
        "sudo pipx install --global 'janitor[systemd]'",
        "# the extra `systemd`: `pipx install --global\n# 'janitor[systemd]'`.",
        "pip install janitor",
        "pip install thread-janitor",
        "python -m pip install -U --no-deps openai janitor==0.1",
        "`pip install janitor`, then",
        "uv add thread_janitor",
        "uv pip install \\\n  janitor",
        "uv tool install --python 3.13 Janitor",
        "uvx --from janitor janitor demo",
        "uv run --with janitor python",
        "pip --python /opt/janitor install janitor",
        "poetry add janitor; conda install janitor",
        "install janitor[systemd], or write Type=exec in the unit",
        '"pip install"\n    " janitor beside it"',
    ],
)
def test_an_installation_from_the_index_is_found(line: str) -> None:
    assert from_the_index(line)


@pytest.mark.parametrize(
    "line",
    [
        "pip install .",
        "sudo pipx install --global '.[systemd]'",
        "pip install '.[postgres]' in a checkout of janitor",
        "pip install dist/thread_janitor-0.1.0-py3-none-any.whl",
        "pip install 'thread-janitor[postgres] @ file:///srv/thread_janitor-0.1.0-py3-none-any.whl'",
        "pip uninstall janitor",
        "janitor demo",
        "pip install --no-deps . beside janitor",
        "docker build -t janitor .",
        "pip --python /opt/janitor install --require-hashes -r requirements.txt",
    ],
)
def test_an_installation_from_a_checkout_is_none(line: str) -> None:
    assert from_the_index(line) == []


def test_no_text_installs_it_from_the_index() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {said}"
        for path in TEXTS
        for said in from_the_index(path.read_text("utf-8", errors="replace"))
    ]
    assert not found, "\n".join(found)


def test_what_is_installed_from_a_checkout_is_there() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    texts = (flat(path.read_text("utf-8", errors="replace")) for path in TEXTS)
    asked = [found for text in texts for found in INSTALLED_HERE.finditer(text)]
    assert len(asked) >= 5
    named = {name for found in asked for name in (found["extras"] or "").split(",") if name}
    assert named <= extras.keys()
