"""What the global options say, and how results are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import click

from janitor.errors import ConfigError
from janitor.texts import is_text

WIDTH = 180  # of tables that no terminal bounds
WHOLE = frozenset({"id", "key"})  # columns that a person copies from: never folded
OUTPUTS = ("table", "json", "jsonl")
DEFAULT_CONFIGS = (Path("config/janitor.yaml"), Path("/etc/janitor/janitor.yaml"))


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options of one call."""

    config: Path | None
    output: str
    log_format: str
    verbose: bool

    def config_path(self) -> Path:
        """The configuration file to read.

        Raises:
            ConfigError: None was named and no default exists.
        """
        if self.config is not None:
            return self.config
        for path in DEFAULT_CONFIGS:
            if path.exists():
                return path
        looked = " and ".join(str(path) for path in DEFAULT_CONFIGS)
        message = f"no configuration file: looked for {looked}; write one with `janitor init`"
        raise ConfigError(message)

    @property
    def wants_table(self) -> bool:
        """Whether a person reads the output."""
        return self.output == "table"


class TextType(click.types.StringParamType):
    """A text of the command line, which a shell hands over as whatever bytes it was given."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The text; a mistake of the command line where it is none."""
        text = str(super().convert(value, param, ctx))
        return text if is_text(text) else self.fail("it is not UTF-8", param, ctx)


def texts_only(command: click.Command) -> click.Command:
    """The command and those below it, whose texts are nothing but text."""
    for param in command.params:
        if param.type is click.STRING:
            param.type = TextType()
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        texts_only(below)
    return command


def emit(settings: Settings, document: Mapping[str, Any], rows: str | None = None) -> None:
    """Print a document for machines: one JSON document, or its `rows` one object a line."""
    if settings.output == "jsonl" and rows is not None:
        emit_lines(document[rows])
    elif settings.output == "jsonl":
        emit_lines([document])
    else:
        click.echo(json.dumps({"schema": 1, **document}, indent=2, default=as_json))


def emit_long(
    head: Mapping[str, Any], name: str, rows: Iterable[Mapping[str, Any]], *, one_line: bool = False
) -> None:
    """Print one JSON document whose last field is a list too long to be held, row by row."""
    indent, end, outer, inner = (None, "}", " ", " ") if one_line else (2, "\n}", "\n  ", "\n    ")
    before = json.dumps({"schema": 1, **head}, indent=indent, default=as_json).removesuffix(end)
    click.echo(f'{before},{outer}"{name}": [', nl=False)
    for number, row in enumerate(rows):
        comma = "," if number else ""
        click.echo(f"{comma}{inner}{json.dumps(row, default=as_json)}", nl=False)
    click.echo(f"{outer}]{end}")


def emit_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line, as they come."""
    for row in rows:
        click.echo(json.dumps({"schema": 1, **row}, default=as_json))


def as_json(value: object) -> str:
    """What JSON has no form for, as text; times as ISO 8601."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table for a person; cells are text, never markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold", no_wrap=column in WHOLE)
    for row in rows:
        grid.add_row(*(Text(plain(cell)) for cell in row))
    console = Console(width=None if is_terminal(sys.stdout) else WIDTH, highlight=False)
    with console.capture() as captured:
        console.print(grid)
    lines = [title, *captured.get().splitlines()] if title else captured.get().splitlines()
    click.echo("\n".join(line.rstrip() for line in lines))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sits at a stream; a stream that was closed is `None`."""
    return stream is not None and stream.isatty()


def plain(value: object) -> str:
    """A value as text that cannot move a terminal's cursor: control characters are escaped."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
