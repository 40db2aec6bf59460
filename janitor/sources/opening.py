"""How the import of a file begins: in which form it is read, from where on, and what is kept."""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from janitor.errors import ConfigError
from janitor.registry import Registry
from janitor.sources.files import File, readable
from janitor.sources.importing import Import
from janitor.sources.lines import Place
from janitor.sources.marks import Mark
from janitor.sources.rejects import Rejects

BLANK = codecs.BOM_UTF8 + b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be imported; `path=None` is standard input, and `form` may be `auto`.

    `name` is what messages call it. With `restart` an import that was cut short begins anew.
    """

    path: Path | None
    name: str
    form: str
    projects: tuple[str, ...]
    rejects: Path | None = None
    restart: bool = False


@contextmanager
def opened(order: Order, registry: Registry | None) -> Iterator[Import]:
    """An import that stands where it is to begin; without a registry it only judges the lines.

    Raises:
        ConfigError: The file cannot be read, is empty or a CSV without the right columns, or what
            stands at the place of the rejects is something else.
    """
    with readable(order.name):
        text = io.TextIOWrapper(_binary(order), "utf-8", errors="surrogateescape", newline="")
    with text:
        with readable(order.name):
            begun = _begun(order, registry, text)
        try:
            yield begun
        finally:
            begun.rejects.close()


def _binary(order: Order) -> io.BufferedReader:
    if order.path is None:
        return open(0, "rb", closefd=False)
    if order.rejects is not None and order.rejects.resolve() == order.path.resolve():
        raise ConfigError(f"{order.name}: its rejects would be written over it; name another file")
    return order.path.open("rb")


def _begun(
    order: Order, registry: Registry | None, text: io.TextIOWrapper[io.BufferedReader]
) -> Import:
    binary = text.buffer  # read past the text only as long as nothing was read of that
    form = _form(order, binary) if order.form == "auto" else order.form
    how, name = _digest(form, *sorted(order.projects)), _name(order, binary)
    mark, place, anew = None, Place(), None
    if registry is not None and name is not None and not order.restart:
        mark, place, anew = _resumed(Mark.of(registry.place(name)), how, order, binary)
    if name is not None:
        binary.seek(place.offset)
    return Import(
        registry,
        File(text, form, order.name, place, mark.columns if mark else ()),
        Rejects.open(order.rejects, mark.size if mark else 0),
        how=how,
        name=name,
        resumed=mark,
        anew=anew,
        size=os.fstat(binary.fileno()).st_size if name is not None else None,
    )


def _form(order: Order, binary: io.BufferedReader) -> str:
    """Judge by the name, else by the first character after a byte order mark and blanks."""
    first = binary.peek(1).lstrip(BLANK)[:1]
    if not first and not binary.peek(1):
        raise ConfigError(f"{order.name}: is empty; nothing was imported")
    named = order.path is not None and order.path.suffix.lower() == ".csv"
    return "jsonl" if first == b"{" and not named else "csv"


def _name(order: Order, binary: io.BufferedReader) -> str | None:
    """What the place in the file is remembered under; a pipe has none."""
    if order.path is None or not binary.seekable():
        return None
    return _digest(str(order.path.resolve()))


def _resumed(
    mark: Mark | None, how: str, order: Order, binary: io.BufferedReader
) -> tuple[Mark | None, Place, str | None]:
    if mark is None:
        return None, Place(), None
    found = mark.place(binary, how, order.rejects)
    return (None, Place(), found) if isinstance(found, str) else (mark, found, None)


def _digest(*said: str) -> str:
    whole = json.dumps(said).encode("utf-8", "surrogateescape")
    return hashlib.sha256(whole).hexdigest()[:32]
