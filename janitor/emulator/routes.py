"""Finds the call that a request makes; defines what its handler is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from janitor.emulator.errors import Json
from janitor.emulator.state import World
from janitor.kinds import CATALOGUE, Kind


@dataclass(slots=True)
class RoutedCall:
    """A request that was let in: its project, path parameters, query and body."""

    world: World
    project: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Json


# A handler answers with JSON, or with the text of an event stream.
Handler = Callable[[RoutedCall], Json | str]


@dataclass(frozen=True, slots=True)
class Route:
    """One call of the API. `kind` and `call` name it for faults and for the log."""

    method: str
    path: str
    kind: str
    call: str
    handler: Handler
    beta: str | None = None


def route(kind: Kind, method: str, path: str, call: str, handler: Handler) -> Route:
    """A call below a kind's own path, with the beta header that its calls need."""
    trait = CATALOGUE[kind]
    return Route(method, f"{trait.path}{path}", kind, call, handler, trait.beta)


class Table:
    """Finds a route by method and path; fixed names go before parameters."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._by_shape: dict[tuple[str, int, str], list[tuple[Route, tuple[str, ...]]]] = {}
        for route in sorted(self.routes, key=lambda route: route.path.count("{")):
            parts = tuple(route.path.split("/"))
            shape = (route.method, len(parts), parts[1])
            self._by_shape.setdefault(shape, []).append((route, parts))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and its parameters, or `None` if the API has no such call."""
        parts = path.split("/")
        for route, names in self._by_shape.get((method, len(parts), parts[1]), ()):
            pairs = list(zip(names, parts, strict=True))
            if all(part and (name[:1] == "{" or name == part) for name, part in pairs[1:]):
                return route, {name[1:-1]: part for name, part in pairs if name[:1] == "{"}
        return None

    def methods(self, path: str) -> set[str]:
        """The methods that the path has."""
        return {route.method for route in self.routes if self.find(route.method, path)}
