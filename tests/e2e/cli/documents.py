"""What a document tells its reader to type, and the stand-in world in which a test types it.

A command of an `sh` block is run by a shell, in order, in one directory for the whole document,
with these exceptions:

* `git clone`, `cd` and `pip` are skipped: the program is installed, the directory is the test's;
* `make TARGET` is not run (a test would run itself); the target has to exist;
* what begins as `ELSEWHERE` says needs a machine of its own; tests of packaging hold the files;
* `export NAME=VALUE` sets what the stand-in has not set already, as its own API key, or where the
  service is that runs for a page which speaks to `$JANITOR_URL`.

`psql` is a stand-in that runs the query on a table `chats` and prints CSV. An edit that the prose
asks for in the words "Set `KEY: VALUE` in `config/janitor.yaml`" is made before the next block, and
a `yaml` block that is a whole stanza takes the place of the empty one that `janitor init` wrote. A
`yaml` block that begins with a comment `# PATH.yaml` is written there.
"""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import bytecode
from serve.serving import Serving
from started import program, start
from world import AUTHORITY, DEADLINE, NOW, World

SKIPPED = ("git clone", "cd ", "pip ", "python -m venv", "python3 -m venv", "#")
ELSEWHERE = ("sudo ", "systemctl ", "journalctl ", "install ", "docker ", "podman ", "buildah ")
PROMPT = re.compile(r"Set `(?P<key>\w+): (?P<value>\w+)` in `config/janitor\.yaml`")
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (?P<path>[\w/]+\.yaml)\n(?P<text>.*)", re.DOTALL)
STANZA = re.compile(r"(?P<key>sources):(?P<value>\n(?:  .*\n)+)")
INLINE = re.compile(r"`janitor ([^`]+)`")

MARKED = """\
policies:
  - name: marked
    match: {metadata: {plan: marked}}
    soft_delete: {after: 40d}
    delete: {after: 400d}
"""
PSQL = """\
#!{python}
import csv, sqlite3, sys
rows = sqlite3.connect({database!r}).execute(sys.argv[sys.argv.index("-c") + 1])
out = csv.writer(sys.stdout)
out.writerow(column[0] for column in rows.description)
out.writerows(rows)
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a document, an edit of the configuration that it asks for, or a file of it."""

    command: str = ""
    key: str = ""
    value: str = ""
    path: str = ""


def steps(text: str) -> Iterator[Step]:
    """What a document asks its reader to do, in order."""
    end = 0
    for block in BLOCK.finditer(text):
        prose = " ".join(text[end : block.start()].split())
        end = block.end()
        yield from (Step(key=e["key"], value=e["value"]) for e in PROMPT.finditer(prose))
        if block["language"] == "yaml" and (stanza := STANZA.fullmatch(block["body"])):
            yield Step(key=stanza["key"], value=stanza["value"])
        if block["language"] == "yaml" and (file := FILE.fullmatch(block["body"])):
            yield Step(path=file["path"], value=file["text"])
        if block["language"] == "sh":
            joined = block["body"].replace("\\\n", " ")
            yield from (Step(line.strip()) for line in joined.splitlines() if line.strip())


def inline_commands(text: str) -> list[str]:
    """What stands in backticks in the prose and calls the program."""
    prose = " ".join(BLOCK.sub("", text).split())
    return INLINE.findall(prose)


class Reader:
    """Does what a document says, in a world where the API is emulated."""

    def __init__(self, world: World, identifiers: list[str]) -> None:
        self.world = world
        self.directory = world.directory / "reader"
        self.directory.mkdir()
        self.environment = {
            "SSL_CERT_FILE": str(AUTHORITY),
            bytecode.PREFIX: os.environ[bytecode.PREFIX],
            "PATH": f"{self._programs()}:/usr/bin:/bin",
            "OPENAI_API_KEY": world.emulator.key,
            "APP_DATABASE_URL": f"sqlite:///{world.directory / 'application.db'}",
        }
        self._fill(identifiers)

    def do(self, step: Step) -> None:
        """Do one step; fails where a command does."""
        if step.path:
            (self.directory / step.path).write_text(step.value, encoding="utf-8")
        elif step.key:
            self._edit(rf"(?m)^{step.key}: \S+", f"{step.key}: {step.value}")
        elif step.command.startswith("export "):
            name, _, value = step.command.removeprefix("export ").partition("=")
            self.environment.setdefault(name, value.strip("\"'"))
        elif not step.command.startswith(SKIPPED + ELSEWHERE):
            self._type(step.command)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run `janitor serve` on the reader's configuration, with the page's token."""
        self._edit("127.0.0.1:9464", "127.0.0.1:0")
        self._edit(r"tokens: \{\}", "tokens: {app: {env: APP_TOKEN, scope: register}}")
        self.environment["APP_TOKEN"] = "secret-of-app"  # noqa: S105 - this test's own
        log = self.world.directory / "serve.log"
        with log.open("wb") as said:
            process = start(
                "janitor", "serve", cwd=self.directory, env=self.environment, stderr=said
            )
        service = Serving(process, log)
        try:
            service.begin()
            self.environment["JANITOR_URL"] = f"http://127.0.0.1:{service.port}"
            yield
        finally:
            process.kill()
            process.wait()

    def _type(self, command: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        said = f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
        if command.startswith("janitor init"):
            self._edit("https://api.openai.com/v1", self.world.base_url)
            self._edit("(?m)^policies:\n", MARKED)

    def _edit(self, pattern: str, new: str) -> None:
        path = self.directory / "config" / "janitor.yaml"
        text, number = re.subn(pattern, new, path.read_text())
        assert number, f"{pattern} is not in what `janitor init` wrote"
        path.write_text(text)

    def _programs(self) -> Path:
        """A directory with `janitor`, and with a `psql` that answers from a table of chats."""
        programs = self.world.directory / "bin"
        programs.mkdir()
        database = str(self.world.directory / "application.db")
        written = {
            "janitor": f'#!/bin/sh\nexec {shlex.join(program())} "$@"\n',
            "psql": PSQL.format(python=sys.executable, database=database),
        }
        for name, text in written.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        return programs

    def _fill(self, identifiers: list[str]) -> None:
        """The named threads come to be soft-deleted; beside them are old ones and young ones."""
        ages = {f"conv_of_{age}_days": (age, "trial") for age in (1, 40, 100)}
        ages |= dict.fromkeys(identifiers, (100, "marked"))
        rows = []
        for name, (age, plan) in ages.items():
            at = NOW - timedelta(days=age)
            self.world.emulator.add_conversation(id=name, created_at=at, items=3)
            rows.append((name, str(at), str(at), "u1", plan, str(at)))
        connection = sqlite3.connect(self.world.directory / "application.db")
        connection.execute(
            "CREATE TABLE chats "
            "(conversation_id, created_at, last_message_at, user_id, plan, updated_at)"
        )
        connection.executemany("INSERT INTO chats VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
        connection.close()
