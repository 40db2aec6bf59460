"""Taking a file into the registry: page by page, each with its place, so that a stop costs a page.

A page's rejects are on the disk before the page is in the registry, and the place behind it is
remembered in the page's own transaction. An import that goes on from there loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from janitor.registry import Registered, Registration, Registry
from janitor.sources.files import File, Rejected, Said, placed
from janitor.sources.lines import Place
from janitor.sources.marks import Mark, Tally
from janitor.sources.rejects import Rejects

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
        resumed: Mark | None = None,
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
        self.tally = resumed.tally if resumed else Tally()
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
            self._registry.forget_place(self._name)

    def _take(self, page: Sequence[tuple[Said, Place]], now: datetime) -> None:
        refused = [said for said, _ in page if isinstance(said, Rejected)]
        good = [said for said, _ in page if isinstance(said, Registration)]
        odd = [
            Remark(place.line, said.key.id, ", ".join(said.remarks))
            for said, place in page
            if isinstance(said, Registration) and said.remarks
        ]
        self.rejects.add(refused)
        self.remarks += odd[: NAMED - len(self.remarks)]
        seen, place = self.tally.seeing(len(page), len(refused), len(odd)), page[-1][1]
        self.tally = seen.counting(self._enter(good, place, seen, now))
        self.line = place.line

    def _enter(
        self, good: Sequence[Registration], place: Place, seen: Tally, now: datetime
    ) -> Registered:
        if self._registry is None:
            return Registered()
        if self._name is None:
            return self._registry.register(good, now)

        def mark(done: Registered) -> str:
            return self._mark(place, seen.counting(done), now).text()

        return self._registry.enter(self._name, good, now, mark)

    def _mark(self, place: Place, tally: Tally, now: datetime) -> Mark:
        rejects = self.rejects.path
        return Mark(
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
