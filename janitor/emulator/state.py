"""What the emulator holds: containers, their items, and who owns them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from janitor.emulator.clock import Clock
from janitor.emulator.errors import Json, not_found

ACTIVE_RUN = frozenset({"queued", "in_progress", "requires_action", "cancelling"})

_worlds = itertools.count(1)


class Kind(StrEnum):
    """A sort of conversation container."""

    CONVERSATION = "conversation"
    CHATKIT_THREAD = "chatkit_thread"
    AGENT_SESSION = "agent_session"
    THREAD = "thread"


PREFIX = {
    Kind.CONVERSATION: "conv_",
    Kind.CHATKIT_THREAD: "cthr_",
    Kind.AGENT_SESSION: "sess_",
    Kind.THREAD: "thread_",
}
OBJECT = {
    Kind.CONVERSATION: "conversation",
    Kind.CHATKIT_THREAD: "chatkit.thread",
    Kind.AGENT_SESSION: "agent.session",
    Kind.THREAD: "thread",
}
NAME = {
    Kind.CONVERSATION: "Conversation",
    Kind.CHATKIT_THREAD: "ChatKit thread",
    Kind.AGENT_SESSION: "Session",
    Kind.THREAD: "Thread",
}


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
class Reply:
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
        self.replies: dict[str, Reply] = {}
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

    def add(
        self,
        kind: Kind,
        project: str,
        *,
        id: str | None = None,
        created_at: int | None = None,
        metadata: dict[str, str] | None = None,
        facts: Json | None = None,
    ) -> Container:
        """A new container of that kind, without items, created now unless said."""
        at = self.now() if created_at is None else created_at
        container = Container(
            kind=kind,
            id=id or self.id(PREFIX[kind]),
            project=project,
            created_at=at,
            last_active_at=at,
            metadata=metadata or {},
            facts=facts or {},
        )
        self.containers[container.id] = container
        return container

    def find(self, kind: Kind, id: str, project: str) -> Container:
        """The container, or the 404 that hides another project's containers too."""
        container = self.containers.get(id)
        if container is None or container.kind != kind or container.project != project:
            raise not_found(NAME[kind], id)
        return container

    def named(self, id: str) -> Container:
        """The container of that id, whoever owns it; `KeyError` where there is none."""
        return self.containers[id]

    def remove(self, container: Container) -> Json:
        """Delete the container and answer as the API does; its items may outlive it."""
        del self.containers[container.id]
        if self.items_outlive and container.kind == Kind.CONVERSATION and container.items:
            self.orphans[container.id] = container.items
        return deleted(container.id, OBJECT[container.kind])

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
