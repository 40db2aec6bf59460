"""A list that may be longer than fits in memory: a few thousand elements stay, the rest is on disk.

The disk's part is a temporary database of SQLite without a name: only this process can open it, and
its file is gone with the process, however that ends.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from janitor.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

HELD = 2000
"""How many elements are held in memory before they are written to disk together."""
CACHE = 1024
"""KiB of pages that SQLite keeps in memory; a sort takes about as much."""
# No journal and no syncing: nobody reads the file after a crash.
SET_UP = f"""\
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -{CACHE};
CREATE TABLE element (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
BEGIN;
"""

Element = TypeVar("Element")


class Spill(Generic[Element]):
    """Elements in the order in which they came. Memory is bounded, whatever their number.

    `encode` and `decode` turn an element into bytes and back. One thread at a time may use it.
    """

    def __init__(
        self,
        encode: Callable[[Element], bytes],
        decode: Callable[[bytes], Element],
        *,
        held: int = HELD,
    ) -> None:
        self._encode = encode
        self._decode = decode
        self._held = held
        self._fresh: list[bytes] = []
        self._file: sqlite3.Connection | None = None
        self._written = 0

    def append(self, element: Element) -> None:
        """Add an element at the end.

        Raises:
            StoreError: No temporary file can be made or written.
        """
        self._fresh.append(self._encode(element))
        if len(self._fresh) >= self._held:
            self._write()

    def extend(self, elements: Iterable[Element]) -> None:
        """Add these at the end; raises as `append` does."""
        for element in elements:
            self.append(element)

    def __len__(self) -> int:
        return self._written + len(self._fresh)

    def __iter__(self) -> Iterator[Element]:
        return map(self._decode, self.encoded())

    def encoded(self) -> Iterator[bytes]:
        """The bytes of every element, in order."""
        yield from self._read("SELECT bytes FROM element ORDER BY number")
        yield from self._fresh

    def ordered(self) -> Iterator[bytes]:
        """The bytes of every element, sorted."""
        if self._file is None:
            yield from sorted(self._fresh)
            return
        self._write()
        yield from self._read("SELECT bytes FROM element ORDER BY bytes")

    def _write(self) -> None:
        with _explained():
            if self._file is None:
                self._file = _nameless()
                weakref.finalize(self, self._file.close)
            rows = ((row,) for row in self._fresh)
            self._file.executemany("INSERT INTO element (bytes) VALUES (?)", rows)
        self._written += len(self._fresh)
        self._fresh.clear()

    def _read(self, statement: str) -> Iterator[bytes]:
        if self._file is not None:
            with _explained():
                for (row,) in self._file.execute(statement):
                    yield row


def _nameless() -> sqlite3.Connection:
    import sqlite3  # noqa: PLC0415 - few plans are as long

    file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    file.executescript(SET_UP)
    return file


@contextmanager
def _explained() -> Iterator[None]:
    import sqlite3  # noqa: PLC0415 - likewise

    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"a long plan needs a temporary file (in TMPDIR, or else /var/tmp or /tmp): {error}; "
            "make room there, or set TMPDIR to a directory that has room and is writable"
        ) from error
