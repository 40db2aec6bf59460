"""Imports a file page by page, writes the rejects, and remembers where an import stopped.

A page's rejects are on disk before the page is in the registry, and the position after the page is
stored in the page's own transaction. An import that resumes there loses nothing. A reject is a line
number, a reason and an id, never the text of the line, which may hold personal data.
"""

from __future__ import annotations

import codecs
import errno
import gc
import hashlib
import io
import json
import os
import select
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from janitor.causes import UnsuitedError, cause, is_scarce, temporary, unsuited
from janitor.config.regular_file import NO_DATA, data_alone, read_regular
from janitor.errors import ConfigError, StoreError
from janitor.registry import Registered, Registration, Registry
from janitor.sources.files import File, FilePosition, Rejected, Said, place_in, placed, readable

VERSION = 1


@dataclass(frozen=True, slots=True)
class ImportTally:
    """What became of the rows read so far.

    `due_earlier` of them made a thread due earlier than the date on which it was first seen did,
    and `odd_times` of them have a time that is not used as written.
    """

    read: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    due_earlier: int = 0
    odd_times: int = 0

    def seeing(self, read: int, refused: int, odd_times: int) -> ImportTally:
        """The tally with this many more rows."""
        return replace(
            self,
            read=self.read + read,
            refused=self.refused + refused,
            odd_times=self.odd_times + odd_times,
        )

    def counting(self, done: Registered) -> ImportTally:
        """The tally with what the registry did with them."""
        return replace(
            self,
            added=self.added + done.added,
            updated=self.updated + done.updated,
            unchanged=self.unchanged + done.unchanged,
            due_earlier=self.due_earlier + done.due_earlier,
        )


@dataclass(frozen=True, slots=True)
class ImportMark:
    """The position after the last page in the registry, and what was done up to there.

    `digest` covers the file up to there. `how` is a digest of what else reading depends on: format
    and projects. The first `size` bytes of the file `rejects` hold what was refused up to there.
    """

    offset: int
    line: int
    digest: str
    how: str
    columns: tuple[str, ...]
    tally: ImportTally
    rejects: str | None
    size: int
    at: str

    @classmethod
    def of(cls, text: str | None) -> ImportMark | None:
        """Read what `text` wrote; `None` if there is nothing, or another version wrote it."""
        document = json.loads(text or "{}")
        if document.pop("v", None) != VERSION:
            return None
        return cls(
            **document
            | {"columns": tuple(document["columns"]), "tally": ImportTally(**document["tally"])}
        )

    def text(self) -> str:
        """The mark as text, for the registry to store."""
        return json.dumps({"v": VERSION, **asdict(self)})

    def place(self, binary: BinaryIO, how: str, rejects: Path | None) -> FilePosition | str:
        """The position in the file as it is now, or why the import must start over."""
        if how != self.how:
            return "its format or its projects differ"
        if self.tally.refused and not self._has_kept(rejects):
            return "this file of rejects lacks what was refused before"
        found = place_in(binary, self.offset, self.line)
        if found is None or found.digest.hexdigest() != self.digest:
            return "the file has changed"
        return found

    def _has_kept(self, rejects: Path | None) -> bool:
        if rejects is None or str(rejects.resolve()) != self.rejects:
            return False
        return rejects.is_file() and rejects.stat().st_size >= self.size


HEAD = 4096
OPENED = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Rejects:
    """The refused lines of one import, in a named or a temporary file.

    `size` is how many of its bytes are durably on disk.
    """

    def __init__(self, file: BinaryIO, path: Path | None, size: int) -> None:
        self._file = file
        self._name = path or "the temporary file of rejects"
        self.path = path
        self.size = size

    @classmethod
    def open(cls, path: Path | None, size: int = 0) -> Rejects:
        """Replace an earlier import's file, or continue it after its first `size` bytes.

        Raises:
            ConfigError: The file cannot be written, or contains something other than rejects.
            StoreError: The disk is full, or another resource ran out.
        """
        if path is None:
            return cls(_nameless(), None, 0)
        _require_rejects(path)
        try:
            made = os.open(path, OPENED, 0o600)
            os.fchmod(made, 0o600)
            os.ftruncate(made, size)
        except OSError as error:
            kind = StoreError if is_scarce(error) else ConfigError
            reason = cause(error, "name another file")
            raise kind(f"{path}: the rejects cannot be written: {reason}") from error
        return cls(os.fdopen(made, "r+b"), path, size)

    def add(self, refused: Sequence[Rejected]) -> None:
        """Append whole lines, durably.

        Raises:
            StoreError: The disk is full or fails.
        """
        if not refused:
            return
        data = "".join(f"{json.dumps(_spelled(one))}\n" for one in refused).encode()
        try:
            self._file.seek(self.size)
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            reason = temporary(error) if self.path is None else cause(error, "check its disk")
            raise StoreError(f"{self._name} cannot be written: {reason}") from error
        self.size += len(data)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All refused lines in order, read from the file."""
        self._file.seek(0)
        yield from map(json.loads, self._file)

    def close(self) -> None:
        """Close the file; a temporary one is deleted."""
        with suppress(OSError):  # `add` reported what could not be written
            self._file.close()


def _nameless() -> BinaryIO:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise StoreError(f"rejects need a temporary file: {temporary(error)}") from error


def _spelled(one: Rejected) -> dict[str, Any]:
    last = one.last_line or one.line
    return {"line": one.line, "last_line": last, "reason": one.reason, "id": one.id}


def _require_rejects(path: Path) -> None:
    """Refuse to overwrite anything but an earlier import's rejects, with a ConfigError."""
    if path.is_symlink():
        raise ConfigError(
            f"{path}: is a link, and rejects are never written through one; name the file itself"
        )
    if not path.exists():
        return
    if not path.is_file() or not _looks_like_rejects(path):
        raise ConfigError(
            f"{path} exists and does not contain the rejects of an import; name another file"
        )


def _looks_like_rejects(path: Path) -> bool:
    try:
        head = read_regular(path, HEAD)
        return not head or {"line", "reason"} <= set(json.loads(head.partition(b"\n")[0]))
    except (OSError, ValueError, TypeError):
        return False


PAGE = 2000
NAMED = 20
"""How many remarks an import lists."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A line that was imported, but not with every time as written."""

    line: int
    id: str
    reason: str


class Import:
    """One import of one file; without a registry it only checks the lines.

    Its position is stored under `name`; `None` means that it is not stored, as for a pipe.
    `resumed` is where it continues, `anew` why it does not; `size` is the file's, if known.
    `remarks` lists the first lines with a time that is not used as written.
    """

    def __init__(
        self,
        registry: Registry | None,
        file: File,
        rejects: Rejects,
        *,
        how: str,
        name: str | None,
        resumed: ImportMark | None = None,
        anew: str | None = None,
        size: int | None = None,
    ) -> None:
        self._registry = registry
        self._file = file
        self._how = how
        self._name = name
        self.rejects = rejects
        self.resumed = resumed
        self.anew = anew
        self.size = size
        self.tally = resumed.tally if resumed else ImportTally()
        self.remarks: list[Remark] = []
        self.line = resumed.line if resumed else 0

    @property
    def is_resumable(self) -> bool:
        """Whether the same command would resume where this one stops."""
        return self._registry is not None and self._name is not None

    def pages(self, projects: tuple[str, ...], now: datetime) -> Iterator[int]:
        """Import the rest of the file page by page; yields the bytes done after each page.

        Raises:
            ConfigError: The file can no longer be read.
            StoreError: The registry or the file of rejects failed; earlier pages stay imported.
        """
        rows = placed(self._file, projects)
        while page := list(islice(rows, PAGE)):
            self._take(page, now)
            yield page[-1][1].offset
        if self._registry is not None and self._name is not None:
            self._registry.registrations.forget_place(self._name)

    def _take(self, page: Sequence[tuple[Said, FilePosition]], now: datetime) -> None:
        refused = [row for row, _ in page if isinstance(row, Rejected)]
        good = [row for row, _ in page if isinstance(row, Registration)]
        odd = [
            Remark(place.line, row.key.id, ", ".join(row.remarks))
            for row, place in page
            if isinstance(row, Registration) and row.remarks
        ]
        self.rejects.add(refused)
        self.remarks += odd[: NAMED - len(self.remarks)]
        seen, place = self.tally.seeing(len(page), len(refused), len(odd)), page[-1][1]
        self.tally = seen.counting(self._enter(good, place, seen, now))
        self.line = place.line

    def _enter(
        self, good: Sequence[Registration], place: FilePosition, seen: ImportTally, now: datetime
    ) -> Registered:
        if self._registry is None:
            return Registered()
        if self._name is None:
            return self._registry.registrations.add(good, now)

        def mark(done: Registered) -> str:
            return self._mark(place, seen.counting(done), now).text()

        return self._registry.registrations.enter(self._name, good, now, mark)

    def _mark(self, place: FilePosition, tally: ImportTally, now: datetime) -> ImportMark:
        rejects = self.rejects.path
        return ImportMark(
            offset=place.offset,
            line=place.line,
            digest=place.digest.hexdigest(),
            how=self._how,
            columns=tuple(self._file.columns),
            tally=tally,
            rejects=None if rejects is None else str(rejects.resolve()),
            size=self.rejects.size,
            at=now.isoformat(),
        )


INSTEAD = "name a file or a pipe"
PIPE_MILLISECONDS = 10_000
"""How long to wait for a writer on a pipe, or for data in a kernel file."""

BLANK = codecs.BOM_UTF8 + b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Order:
    """What to import; `path=None` is standard input, and `form` may be `auto`.

    Messages call the input `name`. With `restart` an interrupted import starts over.
    """

    path: Path | None
    name: str
    form: str
    projects: tuple[str, ...]
    rejects: Path | None = None
    restart: bool = False


@contextmanager
def _heap_set_aside() -> Iterator[None]:
    """Let the garbage collector, which runs often as rows come and go, pass over older objects."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def opened(order: Order, registry: Registry | None) -> Iterator[Import]:
    """An import, at the position where it begins; without a registry it only checks the lines.

    Raises:
        ConfigError: The file cannot be read, is empty or a CSV without the right columns, or the
            path of the rejects leads to something else.
        StoreError: Reading it needs a resource that ran out.
    """
    with readable(order.name):
        binary = _binary(order)
    with io.TextIOWrapper(binary, "utf-8", errors="surrogateescape", newline="") as text:
        with readable(order.name), data_alone(binary.fileno()):
            text.buffer.peek(1)
            begun = _begun(order, registry, text)
        try:
            with _heap_set_aside():
                yield begun
        finally:
            begun.rejects.close()


def _binary(order: Order) -> io.BufferedReader:
    if order.path is None:
        _require_lines(0)
        _await_data(0)
        return open(0, "rb", closefd=False)
    if order.rejects is not None and order.rejects.resolve() == order.path.resolve():
        raise ConfigError(f"{order.name}: its rejects would overwrite it; name another file")
    return open(_opened(order.path), "rb")


def _opened(path: Path) -> int:
    """The descriptor of a file, or of a pipe that has a writer; opening it never blocks."""
    mode = path.stat().st_mode
    if stat.S_ISSOCK(mode):
        raise unsuited(mode, INSTEAD)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_lines(descriptor)
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            _await_writer(path, descriptor)
        os.set_blocking(descriptor, True)
        _await_data(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_lines(descriptor: int) -> None:
    """Refuse what cannot hold lines: a directory, or a device except a terminal or /dev/null."""
    found = os.fstat(descriptor)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    is_device = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
    is_empty = found.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116  as the line above
    if is_device and not is_empty and not os.isatty(descriptor):
        raise unsuited(found.st_mode, INSTEAD)


def _await_writer(path: Path, descriptor: int) -> None:
    """Wait a while for data in a pipe; if there is none, refuse a pipe that has no writer."""
    if any(os.path.sameopenfile(descriptor, one) for one in (1, 2)):
        raise UnsuitedError("this command prints to it; name another")
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    if waiting.poll(PIPE_MILLISECONDS):
        return
    with suppress(PermissionError):
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    # A pipe reports a hang-up only after it has had a writer: now it has had one, us.
    if any(event & select.POLLHUP for _, event in waiting.poll(0)):
        raise UnsuitedError("nothing writes to this pipe; start its writer, or name a file")


def _await_data(descriptor: int) -> None:
    """Wait a while for data in a kernel file; from then on it ends instead of blocking."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size:
        return
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    if not waiting.poll(PIPE_MILLISECONDS):
        raise UnsuitedError(NO_DATA)
    os.set_blocking(descriptor, False)


def _begun(
    order: Order, registry: Registry | None, text: io.TextIOWrapper[io.BufferedReader]
) -> Import:
    binary = text.buffer  # bypasses the text, of which nothing may have been read yet
    form = _form(order, binary) if order.form == "auto" else order.form
    how, name = _digest(form, *sorted(order.projects)), _name(order, binary)
    mark, place, anew = None, FilePosition(), None
    if registry is not None and name is not None and not order.restart:
        mark, place, anew = _resumed(
            ImportMark.of(registry.registrations.place(name)), how, order, binary
        )
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
    """Detect by the name, else by the first character after a byte order mark and blanks."""
    first = binary.peek(1).lstrip(BLANK)[:1]
    if not first and not binary.peek(1):
        raise ConfigError(f"{order.name}: is empty; nothing was imported")
    if first == b"[":
        raise ConfigError(f"{order.name}: is a JSON array; write one object a line: `jq -c .[]`")
    named = order.path is not None and order.path.suffix.lower() == ".csv"
    return "jsonl" if first == b"{" and not named else "csv"


def _name(order: Order, binary: io.BufferedReader) -> str | None:
    """The name under which the position in the file is stored; `None` for a pipe."""
    if order.path is None or not binary.seekable():
        return None
    return _digest(str(order.path.resolve()))


def _resumed(
    mark: ImportMark | None, how: str, order: Order, binary: io.BufferedReader
) -> tuple[ImportMark | None, FilePosition, str | None]:
    if mark is None:
        return None, FilePosition(), None
    found = mark.place(binary, how, order.rejects)
    return (None, FilePosition(), found) if isinstance(found, str) else (mark, found, None)


def _digest(*text: str) -> str:
    whole = json.dumps(text).encode("utf-8", "surrogateescape")
    return hashlib.sha256(whole).hexdigest()[:32]
