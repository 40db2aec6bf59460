"""The README and the pages under docs/ say commands that work, in the order in which they stand.

What is run and what is only looked up is told in `documents.py`.
"""

from __future__ import annotations

import re
import shlex
import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path

import click
import pytest
from world import World

from cli.documents import Reader, Step, inline_commands, steps
from janitor.cli import COMMANDS, cli

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ID = re.compile(r"\bconv_\w+\b")
FIRST_HOUR = [
    Step("janitor init"),
    Step(key="mode", value="enforce"),
    Step(
        'psql x --csv -c "SELECT conversation_id AS id, created_at, '
        'last_message_at AS last_active_at, plan AS \\"metadata.plan\\" FROM chats" '
        "| janitor import -"
    ),
    Step("janitor sweep"),
]
"""What the reader of any other page than the README has done before."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def asked_by(page: Path) -> list[Step]:
    said = steps(page.read_text(encoding="utf-8"))
    return [step for step in said if not step.command.startswith("make ")]


@pytest.mark.parametrize("page", [page for page in PAGES if asked_by(page)], ids=name_of)
def test_the_commands_of_a_page_work_in_their_order(page: Path, world: World) -> None:
    asked = asked_by(page)
    reader = Reader(world, sorted(set(ID.findall(" ".join(step.command for step in asked)))))
    for step in [] if page.name == "README.md" else FIRST_HOUR:
        reader.do(step)
    speaks = any("$JANITOR_URL" in step.command for step in asked)
    with reader.serving() if speaks else nullcontext():
        for step in asked:
            reader.do(step)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_make_targets_of_a_page_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    called = [step.command.split() for step in steps(text) if step.command.startswith("make ")]
    inline = re.findall(r"`make (\w+)`", text)
    words = [word for command in called for word in command[1:] if "=" not in word]
    for target in [*words, *inline]:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_names_in_its_prose_exists(page: Path) -> None:
    for call in inline_commands(page.read_text(encoding="utf-8")):
        words = [word for word in shlex.split(call) if word.isascii()]
        names = [word for word in words if word in COMMANDS]
        assert names or words[0].startswith("-"), f"`janitor {call}`: no such command"
        known = options(words, *names[:1])
        for word in words:
            assert not word.startswith("-") or word.partition("=")[0] in known, call


def options(words: list[str], name: str | None = None) -> set[str]:
    """What may stand behind a command or those of its group, the global options included."""
    parameters = [*cli.params]
    if name is not None:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        parameters += command.params
        below = command.commands if isinstance(command, click.Group) else {}
        parameters += [one for word in words if word in below for one in below[word].params]
    return {opt for one in parameters for opt in one.opts} | {"--help", "-h", "--version"}


def test_the_insert_of_the_readme_registers_a_thread_in_sqlite(world: World) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (statement,) = re.findall(r"^```sql\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert world.run("db", "upgrade").code == 0
    with closing(sqlite3.connect(world.registry)) as connection, connection:
        connection.execute(statement)
    listed = world.run("--output", "jsonl", "list").lines
    assert [one["id"] for one in listed] == ["conv_123"]


def test_the_readme_leads_to_a_sweep_that_deletes(world: World) -> None:
    """Guards the test above: a README without commands would pass it."""
    typed = [step.command for step in steps((ROOT / "README.md").read_text(encoding="utf-8"))]
    joined = "\n".join(typed)
    for needed in ("make demo", "make test", "janitor init", "janitor import", "janitor plan"):
        assert needed in joined
    assert "janitor apply" in joined or "janitor sweep" in joined
