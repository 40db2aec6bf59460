"""Fills the emulator directly: what tests and the control endpoints do, and no API call can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from janitor.emulator import responses, thread
from janitor.emulator.errors import Json
from janitor.emulator.kind import emulated
from janitor.emulator.state import Container, World, seconds
from janitor.kinds import Kind

_ROLES = ("user", "assistant")


class Known(TypedDict, total=False):
    """What may be given for a container that is added."""

    id: str | None
    created_at: datetime | None
    last_active_at: datetime | None
    metadata: Mapping[str, str] | None
    items: int | Sequence[str]
    facts: Json


def add(world: World, kind: Kind, project: str, **known: Unpack[Known]) -> str:
    """Add a container with its items and return its id; see `Emulator.add_conversation`."""
    own, created_at = known.get("id"), known.get("created_at")
    if own in world.containers:
        msg = f"there is a container {own} already"
        raise ValueError(msg)
    made = emulated(kind).add(
        world,
        project,
        id=own,
        created_at=None if created_at is None else seconds(created_at),
        metadata=dict(known.get("metadata") or {}),
        facts=known.get("facts"),
    )
    if (active_at := known.get("last_active_at")) is not None:
        made.last_active_at = seconds(active_at)
    _fill(world, made, known.get("items", 0))
    return made.id


def _fill(world: World, container: Container, items: int | Sequence[str]) -> None:
    """Add items: the last is dated at the container's last activity, the others at its creation."""
    texts = [f"Message {n}." for n in range(1, items + 1)] if isinstance(items, int) else items
    for text in texts[:-1]:
        _put(world, container, text, container.created_at)
    for text in texts[-1:]:
        _put(world, container, text, container.last_active_at)


def _put(world: World, container: Container, text: str, at: int) -> str:
    """Add an item; the roles take turns."""
    kind = emulated(container.kind)
    new = world.id(kind.item_prefix)
    role = _ROLES[len(container.items) % 2]
    container.items[new] = kind.item(container, new, role, text, at)
    return new


def append(world: World, id: str, text: str, at: datetime | None = None) -> str:
    """Add an item to a container, by default now, and return its id; that is activity."""
    container = world.named(id)
    moment = world.now() if at is None else seconds(at)
    container.last_active_at = max(container.last_active_at, moment)
    return _put(world, container, text, moment)


def touch(world: World, id: str) -> None:
    """Make a container active now: by a new item, unless its kind has a way without one."""
    container = world.named(id)
    if (touch := emulated(container.kind).touch) is not None:
        touch(world, container)
    else:
        append(world, id, "Still here.")


def start_run(world: World, id: str, status: str = "in_progress") -> str:
    """Start a run and return its id; if the kind has no runs, the container becomes busy."""
    container = world.named(id)
    if (start := emulated(container.kind).start_run) is not None:
        return start(world, container, status)
    container.locked = True
    return ""


def set_run(world: World, run: str, status: str) -> None:
    """Move a run to any of the API's statuses; `KeyError` if there is no such run."""
    for container in world.containers.values():
        if run in container.runs:
            thread.settle(world, container, container.runs[run], status)
            return
    raise KeyError(run)


def finish(world: World, response: str) -> None:
    """Finish a background response; its conversation is free again."""
    reply = world.replies[response]
    responses.finish(world, reply, responses.written_to(world, reply))


def items_of(world: World, id: str) -> list[Json]:
    """A container's items, oldest first; of a deleted conversation those that outlived it."""
    container = world.containers.get(id)
    found = world.orphans.get(id, {}) if container is None else container.items
    return list(found.values())
