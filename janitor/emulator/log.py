"""What was asked of the emulator: one entry for each request, without bodies."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from janitor.emulator.errors import Json


@dataclass(slots=True)
class Entry:
    """One request, numbered from 1 in the order of arrival.

    `status` is 0 until an answer was sent, and stays so where none ever was. `kind` and `call`
    name the route (`conversation`, `items.list`); empty where there is none. `id` is what a
    DELETE names. `path` carries no query.
    """

    order: int
    at: datetime
    method: str
    path: str
    project: str | None
    kind: str
    call: str
    id: str = ""
    status: int = 0
    fault: str = ""

    def show(self) -> Json:
        """The entry as JSON."""
        return {name: getattr(self, name) for name in self.__slots__} | {"at": self.at.isoformat()}


class Log:
    """All entries, and how often each id was really deleted."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.deletes: Counter[str] = Counter()

    def counts(self) -> Json:
        """Deletions carried out and DELETE requests by id, requests by method and by call."""
        return {
            "deletes": dict(self.deletes),
            "delete_requests": dict(Counter(e.id for e in self.entries if e.method == "DELETE")),
            "methods": dict(Counter(e.method for e in self.entries)),
            "calls": dict(Counter(f"{e.kind}.{e.call}" for e in self.entries if e.call)),
        }

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self.deletes.clear()
