"""What the emulator holds: containers, items, the clock, and the log of requests."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from janitor.emulator.errors import Json
from janitor.kinds import CATALOGUE, Kind


class Clock:
    """The clock for every `created_at`, `Date` header and log entry.

    It runs with the machine's clock; `set` stops it at a moment, `advance` moves it forward,
    whether stopped or running.
    """

    def __init__(self, at: datetime | None = None) -> None:
        self._fixed = at
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return (self._fixed or datetime.now(UTC)) + self._ahead

    def set(self, at: datetime) -> None:
        """Stop the clock at `at`, which must be aware."""
        if at.tzinfo is None:
            msg = f"{at} carries no time zone: give an aware datetime"
            raise ValueError(msg)
        self._fixed, self._ahead = at, timedelta()

    def advance(self, by: timedelta) -> None:
        """Move the clock forward by `by`."""
        self._ahead += by


@dataclass(slots=True)
class LogEntry:
    """One request, numbered from 1 in the order of arrival.

    `status` is 0 until an answer is sent, and stays 0 if none ever is. `kind` and `call` name the
    route (`conversation`, `items.list`); empty if there is none. `id` is what a DELETE names.
    `path` has no query.
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
        self.entries: list[LogEntry] = []
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


ACTIVE_RUN = frozenset({"queued", "in_progress", "requires_action", "cancelling"})

_worlds = itertools.count(1)


@dataclass(slots=True)
class Container:
    """One container. Times are Unix seconds; `facts` holds what only its kind has.

    `items` and `runs` map ids to the objects as the API sends them, oldest first. `locked` means
    in use: a response is being written, a session runs, a ChatKit thread takes no input.
    """

    kind: Kind
    id: str
    project: str
    created_at: int
    last_active_at: int
    metadata: dict[str, str] = field(default_factory=dict)
    facts: Json = field(default_factory=dict)
    items: dict[str, Json] = field(default_factory=dict)
    runs: dict[str, Json] = field(default_factory=dict)
    locked: bool = False

    def active_run(self) -> str | None:
        """The id of a run that is not over yet."""
        return next((run["id"] for run in self.runs.values() if run["status"] in ACTIVE_RUN), None)


@dataclass(slots=True)
class ApiReply:
    """A stored response, its input items and who may read it."""

    project: str
    body: Json
    input: dict[str, Json]


class World:
    """Everything behind one base URL. Whoever reads or writes it holds `lock`."""

    def __init__(
        self, clock: Clock, *, items_outlive: bool, lists_all: bool = False, seed: int | None = None
    ) -> None:
        self.clock = clock
        self.items_outlive = items_outlive
        self.lists_all = lists_all
        self.lock = threading.RLock()
        self.containers: dict[str, Container] = {}
        self.replies: dict[str, ApiReply] = {}
        self.orphans: dict[str, dict[str, Json]] = {}
        # Ids differ from one emulator to the next, so that "unknown there" can be tested.
        self._salt = f"{next(_worlds) if seed is None else seed:08x}"
        self._numbers: Iterator[int] = itertools.count(1)

    def id(self, prefix: str) -> str:
        """A new id."""
        return f"{prefix}{self._salt}{next(self._numbers):024x}"

    def now(self) -> int:
        """The clock's time in Unix seconds."""
        return seconds(self.clock.now())

    def named(self, id: str) -> Container:
        """The container with that id, whoever owns it; `KeyError` if there is none."""
        return self.containers[id]

    def remove(self, container: Container) -> Json:
        """Delete the container and answer as the API does; its items may outlive it."""
        trait = CATALOGUE[container.kind]
        del self.containers[container.id]
        if self.items_outlive and trait.items_first and container.items:
            self.orphans[container.id] = container.items
        return deleted(container.id, trait.noun)

    def of(self, kind: Kind, project: str) -> list[Container]:
        """A project's containers of one kind, oldest first."""
        found = [c for c in self.containers.values() if c.kind == kind and c.project == project]
        return sorted(found, key=lambda container: container.created_at)


def seconds(at: datetime) -> int:
    """A moment as Unix seconds."""
    return int(at.timestamp())


def deleted(id: str, object: str) -> Json:
    """The API's answer to a deletion."""
    return {"id": id, "object": f"{object}.deleted", "deleted": True}
