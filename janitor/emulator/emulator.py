"""The emulator's Python interface, for tests and the demo."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Unpack

from janitor.emulator import fill
from janitor.emulator.app import Site
from janitor.emulator.errors import Json
from janitor.emulator.faults import Fault
from janitor.emulator.limits import Quota
from janitor.emulator.server import Served
from janitor.emulator.state import Clock, LogEntry, World
from janitor.kinds import Kind

KEYS = {"sk-emulator": "main"}


class Emulator:
    """A small, faithful server for all kinds, empty at first.

    `keys` maps API keys to projects; a project sees only its own containers. `latency` is the wait
    before every answer, in seconds; `quota` maps a method to its requests per `quota_window`
    seconds of `quota_clock`, and headers report it only if `quota_named`. `items_outlive` keeps the
    items of a deleted conversation, as the API documents; `items` shows them, and so does a request
    for a single one. `lists_all` lists conversations and Assistants threads, too, as some servers
    do and OpenAI does not. `seed` makes ids repeatable across processes.
    """

    def __init__(
        self,
        keys: Mapping[str, str] | None = None,
        *,
        clock: Clock | None = None,
        latency: float = 0.0,
        quota: Mapping[str, int] | None = None,
        quota_window: float = 60.0,
        quota_named: bool = True,
        quota_clock: Callable[[], float] = time.monotonic,
        items_outlive: bool = True,
        lists_all: bool = False,
        seed: int | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self._world = World(self.clock, items_outlive=items_outlive, lists_all=lists_all, seed=seed)
        quotas = Quota(quota, quota_window, named=quota_named, clock=quota_clock)
        self._site = Site(self._world, dict(keys or KEYS), quotas, latency)

    @property
    def key(self) -> str:
        """The API key of the first project."""
        return next(iter(self._site.keys))

    @property
    def latency(self) -> float:
        """Seconds waited before every answer; settable while it serves."""
        return self._site.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._site.latency = seconds

    @property
    def lists_all(self) -> bool:
        """Whether conversations and Assistants threads are listed; settable while it serves."""
        return self._world.lists_all

    @lists_all.setter
    def lists_all(self, lists: bool) -> None:
        self._world.lists_all = lists

    def serve(self, port: int = 0) -> Served:
        """Serve on loopback; use it in a `with` statement. Port 0 takes a free one."""
        return Served(self._site, port)

    def add_conversation(
        self,
        *,
        project: str | None = None,
        id: str | None = None,
        created_at: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        items: int | Sequence[str] = 0,
    ) -> str:
        """Add a conversation, back-dated if `created_at` is given, and return its id.

        `items` is a number of messages or their texts, user and assistant in turn. `project`
        defaults to the first. Raises `ValueError` for an id that is taken.
        """
        return self.add(
            Kind.CONVERSATION,
            project=project,
            id=id,
            created_at=created_at,
            metadata=metadata,
            items=items,
        )

    def add_thread(
        self,
        *,
        project: str | None = None,
        id: str | None = None,
        created_at: datetime | None = None,
        last_active_at: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        items: int | Sequence[str] = 0,
        tool_resources: Json | None = None,
    ) -> str:
        """Add an Assistants thread; `last_active_at` dates its newest message."""
        facts = {"tool_resources": tool_resources or {}}
        return self.add(
            Kind.THREAD,
            project=project,
            id=id,
            created_at=created_at,
            last_active_at=last_active_at,
            metadata=metadata,
            items=items,
            facts=facts,
        )

    def add_chatkit_thread(
        self,
        *,
        project: str | None = None,
        id: str | None = None,
        created_at: datetime | None = None,
        last_active_at: datetime | None = None,
        items: int | Sequence[str] = 0,
        user: str = "user",
        title: str | None = None,
    ) -> str:
        """Add a ChatKit thread; `last_active_at` dates its newest item."""
        facts = {"user": user, "title": title}
        return self.add(
            Kind.CHATKIT_THREAD,
            project=project,
            id=id,
            created_at=created_at,
            last_active_at=last_active_at,
            items=items,
            facts=facts,
        )

    def add_agent_session(
        self,
        *,
        project: str | None = None,
        id: str | None = None,
        created_at: datetime | None = None,
        last_active_at: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        items: int | Sequence[str] = 0,
    ) -> str:
        """Add an agent session, last active at `last_active_at` or when it was created."""
        return self.add(
            Kind.AGENT_SESSION,
            project=project,
            id=id,
            created_at=created_at,
            last_active_at=last_active_at,
            metadata=metadata,
            items=items,
        )

    def add(self, kind: Kind, *, project: str | None = None, **known: Unpack[fill.Known]) -> str:
        """Add a container of any kind, like `add_conversation`; `facts` are its own fields."""
        with self._world.lock:
            owner = project or next(iter(self._site.keys.values()))
            return fill.add(self._world, kind, owner, **known)

    def append_item(self, id: str, text: str = "One more.", at: datetime | None = None) -> str:
        """Add an item to a container and return the item's id."""
        with self._world.lock:
            return fill.append(self._world, id, text, at)

    def touch(self, id: str) -> None:
        """Make a container active now; all but agent sessions get a new item by it."""
        with self._world.lock:
            fill.touch(self._world, id)

    def lock(self, id: str, *, locked: bool = True) -> None:
        """Mark a container as in use, or as free: writes to it are refused as each kind does."""
        with self._world.lock:
            self._world.named(id).locked = locked

    def start_run(self, id: str, status: str = "in_progress") -> str:
        """Start a run on a thread and return its id; an agent session only becomes busy."""
        with self._world.lock:
            return fill.start_run(self._world, id, status)

    def set_run(self, run: str, status: str) -> None:
        """Move a run to one of the API's statuses."""
        with self._world.lock:
            fill.set_run(self._world, run, status)

    def finish_response(self, response: str) -> None:
        """Finish a background response and free its conversation."""
        with self._world.lock:
            fill.finish(self._world, response)

    def exists(self, id: str) -> bool:
        """Whether a container with that id is alive."""
        return id in self._world.containers

    def ids(self) -> list[str]:
        """The ids of all containers that are alive."""
        with self._world.lock:
            return list(self._world.containers)

    def metadata(self, id: str) -> dict[str, str]:
        """A container's metadata; `KeyError` if there is none."""
        return dict(self._world.named(id).metadata)

    def items(self, id: str) -> list[Json]:
        """A container's items; of a deleted conversation those that outlived it."""
        with self._world.lock:
            return fill.items_of(self._world, id)

    @property
    def log(self) -> list[LogEntry]:
        """Every request so far, in the order of arrival."""
        return list(self._site.log.entries)

    @property
    def deletes(self) -> Counter[str]:
        """How often each id, of containers and items, was really deleted."""
        return Counter(self._site.log.deletes)

    def clear_log(self) -> None:
        """Forget the requests so far."""
        with self._world.lock:
            self._site.log.clear()

    def add_fault(self, fault: Fault) -> int:
        """Put a fault in force; returns the number that lifts it again."""
        with self._world.lock:
            return self._site.faults.add(fault)

    def remove_fault(self, number: int) -> None:
        """Lift a fault."""
        with self._world.lock:
            self._site.faults.remove(number)

    def clear_faults(self) -> None:
        """Lift every fault."""
        with self._world.lock:
            self._site.faults.clear()

    def struck(self) -> dict[int, int]:
        """How often each fault in force struck, by its number."""
        with self._world.lock:
            return self._site.faults.struck()

    @contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        """Keep a fault in force within a `with` block."""
        number = self.add_fault(fault)
        try:
            yield
        finally:
            self.remove_fault(number)
