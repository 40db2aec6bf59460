"""One object that was found intact, to be read again: its records, or its lines as stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from janitor.archive.local import BLOCK, ArchiveDamagedError
from janitor.archive.object_format import (
    Header,
    MalformedError,
    Trailer,
    read,
    read_lines,
    verify,
)
from janitor.model import Record

CHANGED = "it was changed while it was read; trust nothing that was shown of it"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that was read to its end and matched its trailer.

    Each reading streams. It checks everything again, and raises `ArchiveDamagedError` if the object
    is not the same any more.
    """

    path: str
    header: Header
    trailer: Trailer
    blocks: Callable[[], Iterator[bytes]]
    """Begins to read the stored bytes anew."""

    def records(self) -> Iterator[Record]:
        """The container, the items, the other parts."""
        try:
            for part in read(self.blocks()):
                if isinstance(part, Record):
                    yield part
                elif isinstance(part, Trailer) and part != self.trailer:
                    raise ArchiveDamagedError(self.path, CHANGED)
        except MalformedError as error:
            raise ArchiveDamagedError(self.path, CHANGED) from error

    def lines(self) -> Iterator[bytes]:
        """Every line as stored, from the header to the trailer."""
        digest, last = hashlib.sha256(), b""
        try:
            for line in read_lines(self.blocks()):
                digest.update(last)
                yield line
                last = line
        except MalformedError as error:
            raise ArchiveDamagedError(self.path, CHANGED) from error
        if digest.hexdigest() != self.trailer.sha256:
            raise ArchiveDamagedError(self.path, CHANGED)


def open_object(path: Path) -> StoredObject:
    """The object in any regular file, read to its end and checked against its own trailer. Blocks.

    Raises `ArchiveDamagedError` if it is no intact object, and `OSError`.
    """

    def blocks() -> Iterator[bytes]:
        with path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                yield block

    try:
        header, trailer = verify(blocks())
    except MalformedError as error:
        raise ArchiveDamagedError(str(path), f"the object is damaged: {error}") from error
    return StoredObject(str(path), header, trailer, blocks)
