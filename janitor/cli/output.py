"""The global options, and how results are printed: tables, or JSON for machines."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import click

from janitor.errors import ConfigError
from janitor.texts import is_text, plain

PIECE = 1000
"""Rows, or lines of a table, that are printed together."""
UNBOUNDED = sys.maxsize  # without a terminal each row is one line, for grep
# Columns that a person copies from: never broken.
WHOLE = frozenset({"id", "key"})
OUTPUTS = ("table", "json", "jsonl")
COLORS = ("auto", "always", "never")
LOCAL_CONFIG = Path("config/janitor.yaml")
SYSTEM_CONFIG = Path("/etc/janitor/janitor.yaml")
DEFAULT_CONFIGS = (LOCAL_CONFIG, SYSTEM_CONFIG)


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options of one command line."""

    config: Path | None
    output: str
    log_format: str
    verbose: bool
    color: str = "auto"

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
        message = f"no configuration file: looked for {looked}; create one with `janitor init`"
        raise ConfigError(message)

    @property
    def is_colored(self) -> bool | None:
        """Whether output is coloured; `None` means only on a terminal."""
        if self.color != "auto":
            return self.color == "always"
        return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None

    @property
    def wants_table(self) -> bool:
        """Whether a person reads the output."""
        return self.output == "table"


class TextType(click.types.StringParamType):
    """A text from the command line, which may be any bytes that the shell passed on."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The text; a usage error if it is not valid text."""
        text = str(super().convert(value, param, ctx))
        return text if is_text(text) else self.fail("it is not UTF-8", param, ctx)


def texts_only(command: click.Command) -> click.Command:
    """The command and those below it, now refusing text parameters that are not valid text."""
    for param in command.params:
        if param.type is click.STRING:
            param.type = TextType()
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        texts_only(below)
    return command


def emit(settings: Settings, document: Mapping[str, Any], rows: str | None = None) -> None:
    """Print a document for machines: one JSON document, or its `rows` as one object per line.

    Iterators in the document are printed as they are read.
    """
    if settings.output == "jsonl" and rows is not None:
        emit_lines(document[rows])
    elif settings.output == "jsonl":
        emit_lines([document])
    else:
        for piece in json_pieces({"schema": 1, **document}, 2):
            click.echo(piece, nl=False)
        click.echo()


def json_pieces(document: Mapping[str, Any], indent: int) -> Iterator[str]:
    """What `json.dumps` writes of a document, in pieces; iterators in it are read as they come."""
    import json

    outer = "\n" + " " * indent
    for number, (name, value) in enumerate(document.items()):
        yield f"{',' if number else '{'}{outer}{json.dumps(name)}: "
        if isinstance(value, Iterator):
            yield from _array_pieces(value, indent)
        else:
            yield json.dumps(value, indent=indent, default=as_json).replace("\n", outer)
    yield "\n}"


def _array_pieces(rows: Iterator[Mapping[str, Any]], indent: int) -> Iterator[str]:
    """The same of an array, a thousand rows a piece."""
    import json

    outer, between = "\n" + " " * indent, "["
    while page := list(islice(rows, PIECE)):
        text = json.dumps(page, indent=indent, default=as_json).replace("\n", outer)
        yield between + text.removeprefix("[").removesuffix(f"{outer}]")
        between = ","
    yield "[]" if between == "[" else f"{outer}]"


def emit_long(
    head: Mapping[str, Any], name: str, rows: Iterable[Mapping[str, Any]], *, one_line: bool = False
) -> None:
    """Print one JSON document, whose last field may be too long a list for memory, row by row."""
    import json

    indent, end, outer, inner = (None, "}", " ", " ") if one_line else (2, "\n}", "\n  ", "\n    ")
    before = json.dumps({"schema": 1, **head}, indent=indent, default=as_json).removesuffix(end)
    click.echo(f'{before},{outer}"{name}": [', nl=False)
    for number, row in enumerate(rows):
        comma = "," if number else ""
        click.echo(f"{comma}{inner}{json.dumps(row, default=as_json)}", nl=False)
    click.echo(f"{outer}]{end}")


def emit_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object per line, as they come."""
    import json

    for row in rows:
        click.echo(json.dumps({"schema": 1, **row}, default=as_json))


def as_json(value: object) -> str:
    """Values that JSON has no form for, as text; times as ISO 8601."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table for a person, as wide as the terminal; cells are text, never markup."""
    cells = [[plain(cell) for cell in row] for row in rows]
    long_table(title, columns, lambda: cells)


def long_table(
    title: str, columns: Sequence[str], read: Callable[[], Iterable[Sequence[object]]]
) -> None:
    """Print a table that may be too long for memory: its rows are read twice."""
    from janitor.cli.layout import grid

    def cells() -> Iterator[list[str]]:
        return ([plain(cell) for cell in row] for row in read())

    _print_titled(title, grid(columns, cells, screen_width() or UNBOUNDED, WHOLE, _styled))


def facts(title: str, rows: Iterable[tuple[str, object]]) -> None:
    """Print named values for a person, breaking no word that fits on a line; skip empty values."""
    from janitor.cli import layout

    pairs = [(name, text) for name, value in rows if (text := plain(value))]
    _print_titled(title, layout.facts(pairs, screen_width() or UNBOUNDED, _styled))


def hanging(mark: str, text: str) -> None:
    """Print a text after a mark; on a terminal, further lines are indented to the first."""
    from janitor.cli.layout import wrapped

    width = screen_width()
    lines = [text] if width is None else wrapped(text, max(width - len(mark), 1))
    click.echo(colored(mark) + f"\n{' ' * len(mark)}".join(lines))


def _print_titled(title: str, lines: Iterable[str]) -> None:
    rest = chain([click.style(title, bold=True)] if title else [], lines)
    while page := list(islice(rest, PIECE)):
        click.echo("\n".join(page))


def screen_width() -> int | None:
    """How many columns the terminal has, or COLUMNS says; `None` if there is no terminal."""
    import shutil

    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None


STYLED = frozenset({"state", "stage", "stages", "outcome", "result"})
COLORED = {
    "green": ("active", "done", "ok", "in force"),
    "cyan": ("archive", "archived"),
    "yellow": ("soft_delete", "soft_deleted", "busy", "partial", "limited", "in grace", "warn"),
    "red": ("delete", "deleting", "missing", "failed", "fail"),
    "bright_black": ("deleted", "kept", "over"),
}
COLOR_OF = {word: color for color, words in COLORED.items() for word in words}
WORD = "|".join(rf"\b{word}\b" for word in COLOR_OF)


def colored(text: str) -> str:
    """A text with states, stages and outcomes in colours; the words remain readable without."""
    return re.sub(WORD, lambda found: click.style(found[0], fg=COLOR_OF[found[0]]), text)


def _styled(column: str, text: str) -> str:
    return colored(text) if column in STYLED else text


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; a stream that was closed is `None`."""
    return stream is not None and stream.isatty()


def now() -> datetime:
    """The current time, aware."""
    return datetime.now(UTC)


def complain(message: object) -> None:
    """Print a message or an error on stderr; control characters in it are shown, not obeyed."""
    click.echo(f"janitor: {plain(message)}", err=True)
