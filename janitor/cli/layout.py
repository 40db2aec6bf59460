"""How tables fit on a screen: ids are never broken, and other text is never too wide. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest

from rich import cells

GAP = 2
INDENT = 2
"""The indent of a row's second and later lines."""
LONGEST_WORD = 64
"""The most width that a word claims, except in an id column; enough for the ids in errors."""
WORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?\S*|\S+")
"""What stays on one line; a time counts as one word."""
PART = re.compile(r"[^/]*/+|[^/]+")
"""The parts of a path that is too long for a line."""

Style = Callable[[str, str], str]
"""Turns a column's name and a cell's text into the text that is printed, of the same width."""
Group = list[tuple[int, int]]
"""The columns that share a line, each with its width."""


def unstyled(_: str, text: str) -> str:
    """The text as it is."""
    return text


def grid(
    columns: Sequence[str],
    read: Callable[[], Iterable[Sequence[str]]],
    width: int,
    whole: frozenset[str] = frozenset(),
    style: Style = unstyled,
) -> Iterator[str]:
    """The lines of a table that is at most `width` wide, its head first.

    If not everything fits, columns become narrower and wrap between words; if that is not enough,
    each row takes several lines. Columns that are `whole` are never broken: a line is too wide only
    if such a value is wider than the screen. `read` begins the rows anew: they are read twice, and
    never held.
    """
    groups = _groups(columns, read, width, whole)
    yield from _lines(columns, columns, groups, whole, unstyled)
    for row in read():
        yield from _lines(columns, row, groups, whole, style)


def facts(rows: Sequence[tuple[str, str]], width: int, style: Style = unstyled) -> list[str]:
    """The lines of named values; a value with a word that is too long goes below its name."""
    names = max((cell_len(name) for name, _ in rows), default=0)
    lines: list[str] = []
    for name, value in rows:
        room = max(width - names - GAP, 1)
        if _longest(value) <= room:
            first, *rest = [style(name, line) for line in wrapped(value, room)]
            lines += [f"{_padded(name, names + GAP)}{first}".rstrip()]
            lines += [f"{' ' * (names + GAP)}{line}" for line in rest]
        else:
            below = wrapped(value, max(width - INDENT, 1))
            lines += [name, *(f"{' ' * INDENT}{style(name, line)}" for line in below)]
    return lines


def cell_len(text: str) -> int:
    """How wide a text is on a screen."""
    is_plain = text.isascii() and text.isprintable()
    return len(text) if is_plain else cells.cell_len(text)


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines, broken between words; a word that is too long at slashes, else anywhere."""
    if cell_len(text) <= width:
        return [text]
    lines: list[str] = []
    for word in WORD.findall(text):
        if lines and cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines += _broken(word, width)
    return lines or [""]


def _broken(word: str, width: int) -> list[str]:
    lines: list[str] = []
    for part in [word] if cell_len(word) <= width else PART.findall(word):
        if lines and cell_len(lines[-1] + part) <= width:
            lines[-1] += part
        else:
            lines += cells.chop_cells(part, width)
    return lines


def _longest(text: str) -> int:
    return max(map(cell_len, WORD.findall(text)), default=0)


def _groups(
    columns: Sequence[str],
    read: Callable[[], Iterable[Sequence[str]]],
    width: int,
    whole: frozenset[str],
) -> list[Group]:
    """Which columns share a line: all of them if they fit, even if narrower than they want."""
    wanted, room = _widest(columns, read(), cell_len), width - GAP * (len(columns) - 1)
    if sum(wanted) <= room:
        return [list(enumerate(wanted))]
    longest = min(LONGEST_WORD, width - INDENT)
    words = _widest(columns, read(), _longest)
    least = [
        want if name in whole else min(word, longest)
        for name, want, word in zip(columns, wanted, words, strict=True)
    ]
    if sum(least) <= room:
        shared = [[*range(len(columns))]]
    else:
        shared = _split(columns, least, width, whole)
    return [
        _narrowed(group, wanted, least, width - INDENT * bool(depth))
        for depth, group in enumerate(shared)
    ]


def _widest(
    columns: Sequence[str], rows: Iterable[Sequence[str]], measured: Callable[[str], int]
) -> list[int]:
    """The most that a cell of each column measures, its name among them."""
    widest = [measured(name) for name in columns]
    for row in rows:
        widest = [max(most, measured(cell)) for most, cell in zip(widest, row, strict=True)]
    return widest


def _split(
    columns: Sequence[str], least: Sequence[int], width: int, whole: frozenset[str]
) -> list[list[int]]:
    """The columns of each line; an id is the last on its line."""
    groups: list[list[int]] = [[]]
    room = width
    for number, (name, need) in enumerate(zip(columns, least, strict=True)):
        if groups[-1] and need > room:
            groups.append([])
            room = width - INDENT
        groups[-1].append(number)
        room = -1 if name in whole else room - need - GAP
    return groups


def _narrowed(
    group: Sequence[int], wanted: Sequence[int], least: Sequence[int], width: int
) -> Group:
    """The columns of a line with the widths that they get: the widest is narrowed first."""
    widths = {number: wanted[number] for number in group}
    space = width - GAP * (len(group) - 1)
    while sum(widths.values()) > space:
        giving = [number for number in group if widths[number] > least[number]]
        if not giving:
            break
        widths[max(giving, key=widths.__getitem__)] -= 1
    return list(widths.items())


def _lines(
    columns: Sequence[str],
    row: Sequence[str],
    groups: Sequence[Group],
    whole: frozenset[str],
    style: Style,
) -> Iterator[str]:
    for depth, group in enumerate(groups):
        parts = [
            [row[number]] if columns[number] in whole else wrapped(row[number], max(width, 1))
            for number, width in group
        ]
        for line_parts in zip_longest(*parts, fillvalue=""):
            shown = (
                style(columns[number], part) + " " * (width - cell_len(part))
                for (number, width), part in zip(group, line_parts, strict=True)
            )
            line = (" " * INDENT if depth else "") + (" " * GAP).join(shown).rstrip()
            if line.strip() or not depth:
                yield line


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
