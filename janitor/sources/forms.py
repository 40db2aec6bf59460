"""Rows of JSONL and CSV: named values, or why a row is none; what is broken costs no other row."""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from janitor.sources.lines import TOO_LONG, Line, Place
from janitor.texts import TwiceError, once

SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """What stands on the lines `first` to `last`: named values, or why there are none."""

    first: int
    last: int
    said: Mapping[str, Any] | str
    end: Place


def json_rows(lines: Iterator[Line]) -> Iterator[Row]:
    """The objects of JSONL; blank lines are left out."""
    for line in lines:
        if line.text is None or line.text.strip():
            yield Row(line.number, line.number, _json_row(line.text), line.end)


def _json_row(text: str | None) -> dict[str, Any] | str:
    if text is None:
        return TOO_LONG
    if SURROGATE.search(text):
        return "not UTF-8"
    try:
        return object_of(text)
    except ValueError as error:
        return str(error)


def object_of(text: str, what: str = "") -> dict[str, Any]:
    """A JSON object; ValueError where it is none, or says a thing twice."""
    try:
        said = json.loads(text, object_pairs_hook=once)
    except TwiceError as error:
        raise ValueError(f"{what}{error}") from None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ValueError(f"{what}not a JSON object")  # noqa: TRY004 - a line's fault, not the program's
    return said


class CsvRows:
    """The rows of a CSV by number of line; a row may take several lines, in quotes.

    Where such a row turns out not to be CSV, only its first line is refused, and reading goes on
    at its second: a quote that nobody closed costs its own line and no other.
    """

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self._taken: list[Line] = []
        self._reader = csv.reader(self, strict=True)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """The next line, for the parser of CSV."""
        line = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(line)
        if line.text is None:
            raise csv.Error(TOO_LONG)
        return line.text

    def columns(self) -> list[str]:
        """The names in the first row; none where it is no CSV."""
        for _, values in self._rows():
            return [] if isinstance(values, str) else values
        return []

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """The rows after it, by the names of their columns; blank ones are left out."""
        for lines, values in self._rows():
            said = values if isinstance(values, str) else _named(columns, values)
            yield Row(lines[0].number, lines[-1].number, said, lines[-1].end)

    def _rows(self) -> Iterator[tuple[list[Line], list[str] | str]]:
        while True:
            self._taken.clear()
            try:
                values = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                first, *others = self._taken
                self._again.extendleft(reversed(others))
                yield [first], TOO_LONG if first.text is None else f"not CSV: {error}"
            else:
                if values:
                    yield self._taken, values


def _named(columns: Sequence[str], values: Sequence[str]) -> Mapping[str, str] | str:
    if len(values) > len(columns):
        return "more values than columns"
    if SURROGATE.search("".join(values)):
        return "not UTF-8"
    return dict(zip(columns, values, strict=False))
