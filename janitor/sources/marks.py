"""Where an import was cut short, and whether it may go on there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from janitor.registry import Registered
from janitor.sources.lines import Place, place_in

VERSION = 1


@dataclass(frozen=True, slots=True)
class Tally:
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

    def seeing(self, read: int, refused: int, odd_times: int) -> Tally:
        """With so many more rows."""
        return replace(
            self,
            read=self.read + read,
            refused=self.refused + refused,
            odd_times=self.odd_times + odd_times,
        )

    def counting(self, done: Registered) -> Tally:
        """With what the registry did of them."""
        return replace(
            self,
            added=self.added + done.added,
            updated=self.updated + done.updated,
            unchanged=self.unchanged + done.unchanged,
            due_earlier=self.due_earlier + done.due_earlier,
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """The place behind the last page that entered, and what was done up to there.

    `digest` is of the file up to there. `how` stands for what reading depends on beside the file.
    The first `size` bytes of the file `rejects` name what was refused before.
    """

    offset: int
    line: int
    digest: str
    how: str
    columns: tuple[str, ...]
    tally: Tally
    rejects: str | None
    size: int
    at: str

    @classmethod
    def of(cls, text: str | None) -> Mark | None:
        """What `text` wrote; `None` where nothing is, or another version wrote it."""
        said = json.loads(text or "{}")
        if said.pop("v", None) != VERSION:
            return None
        return cls(**said | {"columns": tuple(said["columns"]), "tally": Tally(**said["tally"])})

    def text(self) -> str:
        """All of it as text, for the registry to remember."""
        return json.dumps({"v": VERSION, **asdict(self)})

    def place(self, binary: BinaryIO, how: str, rejects: Path | None) -> Place | str:
        """The place in the file as it is now, or why reading has to begin anew."""
        if how != self.how:
            return "it was read in another form, or for other projects"
        if self.tally.refused and not self._has_kept(rejects):
            return "what it refused before is not in this file of rejects"
        found = place_in(binary, self.offset, self.line)
        if found is None or found.digest.hexdigest() != self.digest:
            return "the file is another one by now"
        return found

    def _has_kept(self, rejects: Path | None) -> bool:
        if rejects is None or str(rejects.resolve()) != self.rejects:
            return False
        return rejects.is_file() and rejects.stat().st_size >= self.size
