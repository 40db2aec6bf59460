"""The import of a file: how it begins, page by page, its refusals, and where it stopped.

A page's rejects are on the disk before the page is in the registry, and the place behind it is
remembered in the page's own transaction. An import that goes on from there loses nothing. A reject
is a line number, a reason and an id, never the line's own text: that may hold what the application
knows of a person.
"""

from __future__ import annotations

import codecs
import errno
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

    `due_earlier` of them made a thread fall due earlier than its first sight did, and `odd_times`
    name a time that is not taken as it was said.
    """

    read: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    due_earlier: int = 0
    odd_times: int = 0

    def seeing(self, read: int, refused: int, odd_times: int) -> ImportTally:
        """With so many more rows."""
        return replace(
            self,
            read=self.read + read,
            refused=self.refused + refused,
            odd_times=self.odd_times + odd_times,
        )

    def counting(self, done: Registered) -> ImportTally:
        """With what the registry did of them."""
        return replace(
            self,
            added=self.added + done.added,
            updated=self.updated + done.updated,
            unchanged=self.unchanged + done.unchanged,
            due_earlier=self.due_earlier + done.due_earlier,
        )


@dataclass(frozen=True, slots=True)
class ImportMark:
    """The place behind the last page that entered, and what was done up to there.

    `digest` is of the file up to there. `how` stands for what reading depends on beside the file.
    The first `size` bytes of the file `rejects` name what was refused before.
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
        """What `text` wrote; `None` where nothing is, or another version wrote it."""
        document = json.loads(text or "{}")
        if document.pop("v", None) != VERSION:
            return None
        return cls(
            **document
            | {"columns": tuple(document["columns"]), "tally": ImportTally(**document["tally"])}
        )

    def text(self) -> str:
        """All of it as text, for the registry to remember."""
        return json.dumps({"v": VERSION, **asdict(self)})

    def place(self, binary: BinaryIO, how: str, rejects: Path | None) -> FilePosition | str:
        """The place in the file as it is now, or why reading has to begin anew."""
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
    """The refused lines of one import, in a file of a name or in one that nobody sees.

    `size` is how many bytes of it are on the disk for good.
    """

    def __init__(self, file: BinaryIO, path: Path | None, size: int) -> None:
        self._file = file
        self._name = path or "the temporary file of rejects"
        self.path = path
        self.size = size

    @classmethod
    def open(cls, path: Path | None, size: int = 0) -> Rejects:
        """Begin in the place of an earlier import's file, or go on behind its first `size` bytes.

        Raises:
            ConfigError: It cannot be written, or something else than rejects stands there.
            StoreError: The disk is full, or something else ran out.
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
        """All of them in order, read again."""
        self._file.seek(0)
        yield from map(json.loads, self._file)

    def close(self) -> None:
        """Give the file back; one without a name is gone."""
        with suppress(OSError):  # `add` told what could not be written
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
    """Nothing but an earlier import's rejects is written over."""
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


PAGE = 1000
NAMED = 20
"""How many odd lines an import names."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A line that was taken, but not with every time as it says."""

    line: int
    id: str
    reason: str


class Import:
    """One import of one file; without a registry it only judges the lines.

    `name` is what its place is remembered under; `None`: it is not, as of a pipe. `resumed` is
    where it goes on, `anew` why it does not; `size` is the file's, where it is known. `remarks`
    names the first lines with a time that is not taken as it was said.
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
        """Whether the same command would go on where this one stops."""
        return self._registry is not None and self._name is not None

    def pages(self, projects: tuple[str, ...], now: datetime) -> Iterator[int]:
        """Take the rest of the file in, page by page; how many bytes of it are done after each.

        Raises:
            ConfigError: The file cannot be read any more.
            StoreError: The registry or the file of rejects failed; all pages before stand.
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
"""So long a pipe may have nobody who writes to it, and a file of the kernel no data."""

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
        StoreError: Something ran out that it takes to read it.
    """
    with readable(order.name):
        binary = _binary(order)
    with io.TextIOWrapper(binary, "utf-8", errors="surrogateescape", newline="") as text:
        with readable(order.name), data_alone(binary.fileno()):
            text.buffer.peek(1)
            begun = _begun(order, registry, text)
        try:
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
    """A descriptor of a file, or of a pipe that somebody writes to; it never waits for that."""
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
    """Refuse what cannot hold lines: a directory, or a device that is no terminal."""
    found = os.fstat(descriptor)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    is_device = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
    is_empty = found.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116  as the line above
    if is_device and not is_empty and not os.isatty(descriptor):
        raise unsuited(found.st_mode, INSTEAD)


def _await_writer(path: Path, descriptor: int) -> None:
    """Wait for what a pipe holds as long as somebody has it open to write, else a while."""
    if any(os.path.sameopenfile(descriptor, one) for one in (1, 2)):
        raise UnsuitedError("this command prints to it; name another")
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    if waiting.poll(PIPE_MILLISECONDS):
        return
    with suppress(PermissionError):
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    # A pipe tells that it was hung up once there was a writer: now there was one, us.
    if any(event & select.POLLHUP for _, event in waiting.poll(0)):
        raise UnsuitedError("nothing writes to this pipe; start its writer, or name a file")


def _await_data(descriptor: int) -> None:
    """Wait a while for what a file of the kernel holds; then it ends where it would wait."""
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
    binary = text.buffer  # read past the text only as long as nothing was read of that
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
    mark: ImportMark | None, how: str, order: Order, binary: io.BufferedReader
) -> tuple[ImportMark | None, FilePosition, str | None]:
    if mark is None:
        return None, FilePosition(), None
    found = mark.place(binary, how, order.rejects)
    return (None, FilePosition(), found) if isinstance(found, str) else (mark, found, None)


def _digest(*text: str) -> str:
    whole = json.dumps(text).encode("utf-8", "surrogateescape")
    return hashlib.sha256(whole).hexdigest()[:32]
