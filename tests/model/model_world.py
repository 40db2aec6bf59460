"""What the application and the operators do, each noted in the model's memory as it is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from model_janitors import Janitor, Judge, Witness
from model_ledger import OUTSIDE, Dated, Promises, Thing
from model_policies import METADATA
from sweep_world import DAY, KEYS, NOW

from janitor.emulator import Emulator
from janitor.emulator.state import Container
from janitor.kinds import CATALOGUE
from janitor.model import Hold, Key, Kind
from janitor.policy import Policies, policies_digest
from janitor.registry import InboxNotice, Pause, Registration

TELLS_BUSY = {Kind.THREAD: "runs", Kind.AGENT_SESSION: "container"}
"""Which part of a container says that it is in use."""


@dataclass(frozen=True, slots=True)
class Found:
    """A container to begin with: so many days old, with so many items.

    Whether it `is_registered`, and whether the application then said when it was active.
    """

    kind: Kind
    metadata: dict[str, str]
    age: int
    items: int
    is_told: bool
    is_registered: bool


@dataclass
class Estate:
    """A server, a registry that two janitors share, and everybody who writes beside them.

    `is_midst` tells that a sweep is under way: what happens then is seen by later looks only.
    """

    server: Emulator
    janitors: tuple[Janitor, Janitor]
    judge: Judge
    is_midst: bool = False
    configured: dict[str, Policies] = field(default_factory=dict)
    """Every policies there ever were, by digest."""

    @property
    def now(self) -> datetime:
        return self.server.clock.now()

    @property
    def things(self) -> list[Thing]:
        return list(self.judge.things.values())

    @property
    def registered(self) -> list[Thing]:
        return [thing for thing in self.things if thing.registered_at is not None]

    @property
    def living(self) -> list[Thing]:
        return [thing for thing in self.things if self.server.exists(thing.key.id)]

    def _upstream(self, thing: Thing) -> Container:
        return self.server._world.named(thing.key.id)

    def _look(self, thing: Thing, part: str) -> int:
        """The last look at a part that did not see what happens now."""
        return thing.looks[part] if self.is_midst else OUTSIDE

    def choose(self, policies: Policies) -> None:
        """A new configuration file for both janitors."""
        self.configured[policies_digest(policies)] = policies
        self.judge.promises.current = policies
        for janitor in self.janitors:
            janitor.policies = policies

    def heed_approval(self) -> None:
        """Let the judge know which policies were approved last; the first ones approve themselves.

        No one else can have approved any, since the model configured them all.
        """
        last, promises = self.judge.registry.policies.approval(), self.judge.promises
        promises.approved = promises.current if last is None else self.configured[last.digest]

    def add(self, found: Found) -> None:
        """A container that the application made some days ago."""
        kind, at = found.kind, self.now - found.age * DAY
        given: dict[str, Any] = {"created_at": at, "items": found.items}
        if CATALOGUE[kind].has_metadata:
            given["metadata"] = found.metadata
        thing = Thing(Key("main", kind, self.server.add(kind, **given)), at)
        thing.upstream.append((given.get("metadata", {}), OUTSIDE))
        thing.items = dict.fromkeys(self._upstream(thing).items, OUTSIDE)
        if CATALOGUE[kind].has_activity:
            thing.activity.append(Dated(at))
        self.judge.things[thing.key.id] = thing
        if found.is_registered:
            self._register(thing, found)

    def _register(self, thing: Thing, found: Found) -> None:
        reported = None if CATALOGUE[found.kind].has_metadata else found.metadata
        active_at = thing.created_at if found.is_told else None
        said = Registration(thing.key, thing.created_at, active_at, None, reported)
        self.judge.registry.registrations.add([said], self.now)
        thing.registered_at, thing.reported = self.now, reported
        if active_at is not None:
            thing.activity.append(Dated(active_at))

    def touch(self, thing: Thing, _: int) -> None:
        """The application reports activity."""
        if thing.registered_at is not None:
            self.janitors[1].registry.registrations.touch([(thing.key, self.now)])
            thing.activity.append(Dated(self.now))

    def tell(self, thing: Thing, pick: int) -> None:
        """The application registers or touches by the inbox, which sweeps drain when they begin."""
        key, metadata = thing.key, METADATA[pick % len(METADATA)] if pick % 2 else None
        if self.is_midst:
            return
        event = "register" if metadata else "touch"
        said = InboxNotice("main", key.kind, key.id, self.now, event, thing.created_at, metadata)
        self.janitors[1].registry.inbox.append([said])
        self.janitors[1].registry.inbox.drain(self.now)
        thing.activity.append(Dated(self.now))
        thing.registered_at = thing.registered_at or self.now
        if metadata is not None:
            thing.reported = {**metadata, **(thing.reported or {})}

    def append(self, thing: Thing, pick: int) -> None:
        """The application writes to a container; who looks afterwards can see it."""
        if not self.server.exists(thing.key.id):
            return
        entry = self.judge.registry.threads.get(thing.key)
        is_watched = entry is not None and entry.sightings.baseline_at is not None
        for _ in range(1 + pick % 3):
            thing.items[self.server.append_item(thing.key.id)] = self._look(thing, "items")
        if CATALOGUE[thing.key.kind].has_activity or is_watched:
            part = "container" if thing.key.kind is Kind.AGENT_SESSION else "items"
            thing.activity.append(Dated(self.now, part, self._look(thing, part)))

    def report(self, thing: Thing, pick: int) -> None:
        """The application registers a thread again, with other metadata."""
        metadata = METADATA[pick % len(METADATA)]
        self.judge.registry.registrations.add(
            [Registration(thing.key, metadata=metadata)], self.now
        )
        thing.registered_at = thing.registered_at or self.now
        thing.reported = metadata

    def edit(self, thing: Thing, pick: int) -> None:
        """The application edits a container's metadata."""
        if self.server.exists(thing.key.id) and CATALOGUE[thing.key.kind].has_metadata:
            metadata, container = METADATA[pick % len(METADATA)], self._upstream(thing)
            own = {k: v for k, v in container.metadata.items() if k.startswith("janitor_")}
            container.metadata = {**metadata, **own}
            thing.upstream.append((metadata, self._look(thing, "container")))

    def remove(self, thing: Thing, _: int) -> None:
        """The application deletes a container of its own."""
        if self.server.exists(thing.key.id):
            with self.server._world.lock:
                self.server._world.remove(self._upstream(thing))
            thing.is_deleted_by_app = True

    def work(self, thing: Thing, _: int) -> None:
        """A response or a run begins; where only the server can tell, it refuses to delete."""
        if not self.server.exists(thing.key.id) or thing.busy is not None:
            return
        part = TELLS_BUSY.get(thing.key.kind)
        if part is None:
            self.server.lock(thing.key.id)
            return
        self.server.start_run(thing.key.id)
        thing.busy = Dated(self.now, part, self._look(thing, part))
        if thing.key.kind is Kind.THREAD:
            thing.activity.append(thing.busy)

    def rest(self, thing: Thing, _: int) -> None:
        """What was begun is over."""
        if self.server.exists(thing.key.id):
            container = self._upstream(thing)
            container.locked = False
            if (run := container.active_run()) is not None:
                self.server.set_run(run, "failed")
            thing.busy = None

    def keep(self, thing: Thing, pick: int) -> None:
        """The application asks to keep a thread for some days."""
        until = self.now + (1 + pick % 60) * DAY
        said = Registration(thing.key, keep_until=until)
        self.judge.registry.registrations.add([said], self.now)
        thing.registered_at = thing.registered_at or self.now
        thing.keep_until = max(until, thing.keep_until or until)

    def hold(self, thing: Thing, pick: int) -> None:
        """A hold, by id or by metadata, with an end or without."""
        promises = self.judge.promises
        metadata = METADATA[pick % 2] if pick % 3 == 0 else {}
        hold = Hold(
            f"hold{len(promises.holds)}",
            ids=frozenset() if metadata else frozenset({thing.key.id}),
            metadata=metadata,
            until=self.now + 20 * DAY if pick % 5 == 0 else None,
        )
        self.judge.registry.holds.add(hold, self.now)
        promises.holds.append(hold)

    def release(self, _: Thing, pick: int) -> None:
        """A hold is released."""
        holds = self.judge.promises.holds
        standing = [one for one in holds if one.is_in_force(self.now)]
        if standing:
            hold = standing[pick % len(standing)]
            self.judge.registry.holds.release(hold.name, self.now, reason="over")
            holds[holds.index(hold)] = replace(hold, released_at=self.now)

    def pause(self, _: Thing, pick: int) -> None:
        """Everything, the project or a policy is paused."""
        scope = ("all", "project:main", "policy:trial", "policy:rest")[pick % 4]
        self.judge.registry.pauses.add(Pause(scope, "told", "ops", self.now))
        self.judge.promises.pauses.add(scope)

    def resume(self, _: Thing, __: int) -> None:
        """A pause is over."""
        for scope in sorted(self.judge.promises.pauses)[:1]:
            self.judge.registry.pauses.end(scope)
            self.judge.promises.pauses.remove(scope)

    def act(self, name: str, pick: int) -> None:
        """Do one of these things about one of the containers."""
        if self.things:
            getattr(self, name)(self.things[pick % len(self.things)], pick // 7)

    @contextmanager
    def midst(self) -> Iterator[None]:
        """What happens within happens while a sweep is under way."""
        self.is_midst = True
        try:
            yield
        finally:
            self.is_midst = False


ACTS = (
    *("touch", "tell", "append", "append", "report", "edit", "remove", "work", "rest", "rest"),
    *("keep", "hold", "release", "release", "pause", "resume", "resume"),
)


@contextmanager
def estate_in(root: Path, policies: Policies, address: str = "") -> Iterator[Estate]:
    """A new estate, empty, under policies that no sweep has seen yet."""
    server = Emulator(KEYS)
    server.clock.set(NOW)
    with server.serve() as served:
        patience = timedelta(seconds=30 if address else 0)  # a server frees a lock a moment later
        first, second = (
            Janitor(root, server, served.base_url, policies, address=address, patience=patience)
            for _ in range(2)
        )
        promises = Promises(policies, policies)
        judge = Judge(server, second.registry, second.archive, root / "archive", promises)
        for janitor in (first, second):
            janitor.hooks.append(Witness(judge))
        try:
            estate = Estate(server, (first, second), judge)
            estate.choose(policies)
            yield estate
        finally:
            first.close()
            second.close()
