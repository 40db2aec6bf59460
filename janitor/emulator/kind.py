"""What the emulator has for a kind: each kind's module (`thread.py`) has it as `EMULATED`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import cast

from janitor.emulator.errors import ApiError, Json, not_found
from janitor.emulator.pages import page
from janitor.emulator.routes import Route, RoutedCall
from janitor.emulator.state import Container, World
from janitor.kinds import CATALOGUE, Kind, Trait


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedKind:
    """How the emulator answers for a kind, and what a test may do to it directly.

    `name` is what errors call a container, `item_prefix` begins the ids of its items and `prefix`
    those of containers if the API documents none. `show` returns a container as the API sends it,
    `item` an item from its container, id, role, text and time, `locked` the refusal of a write to a
    container in use, from its id. `touch` is activity that leaves no item, `start_run` starts a run
    with a status and returns its id: both are `None` for kinds that have no such thing.
    """

    kind: Kind
    name: str
    item_prefix: str
    routes: tuple[Route, ...]
    show: Callable[[Container], Json]
    item: Callable[[Container, str, str, str, int], Json]
    locked: Callable[[str], ApiError]
    prefix: str | None = None
    touch: Callable[[World, Container], None] | None = None
    start_run: Callable[[World, Container, str], str] | None = None

    @property
    def trait(self) -> Trait:
        """The kind's entry in the catalogue."""
        return CATALOGUE[self.kind]

    def add(
        self,
        world: World,
        project: str,
        *,
        id: str | None = None,
        created_at: int | None = None,
        metadata: dict[str, str] | None = None,
        facts: Json | None = None,
    ) -> Container:
        """Add a container without items, created now unless `created_at` is given."""
        new = id or world.id(self.prefix or self.trait.prefixes[0])
        at = world.now() if created_at is None else created_at
        container = Container(self.kind, new, project, at, at, metadata or {}, facts or {})
        world.containers[new] = container
        return container

    def find(self, world: World, id: str, project: str) -> Container:
        """The container; raises the 404 that hides another project's containers, too."""
        container = world.containers.get(id)
        if container is None or container.kind != self.kind or container.project != project:
            raise not_found(self.name, id)
        return container

    def found(self, call: RoutedCall) -> Container:
        """The container that a call's path names; raises as `find` does."""
        return self.find(call.world, call.params["id"], call.project)

    def list_route(self) -> Route:
        """A list of the project's containers, for servers that have one where OpenAI does not.

        The new Foundry lists conversations; an undescribed `GET /threads` exists on some servers.
        """

        def handler(call: RoutedCall) -> Json:
            ids = [container.id for container in call.world.of(self.kind, call.project)]
            return page(ids, call.query, lambda named: self.show(call.world.named(named)))

        return Route("GET", self.trait.path, self.kind, "list", handler, self.trait.beta)


@cache
def emulated(kind: Kind) -> EmulatedKind:
    """How a kind is emulated, found by its name."""
    module = import_module(f"{__package__}.{kind.value}")
    return cast("EmulatedKind", module.EMULATED)
