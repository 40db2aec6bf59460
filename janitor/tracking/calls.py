"""Which calls concern a container: told from the method and the path alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from janitor.catalogue import CATALOGUE, is_id
from janitor.model import Kind

RESPONSES = "responses"


class Act(StrEnum):
    """What a call does to a container, as far as retention cares."""

    CREATE = "create"
    CREATE_AND_RUN = "create_and_run"
    RESPOND = "respond"
    USE = "use"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Call:
    """A call about a container; `id` is `None` where only a body names it."""

    act: Act
    kind: Kind
    id: str | None = None


def _parts(kind: Kind) -> tuple[str, ...]:
    return tuple(CATALOGUE[kind].path.strip("/").split("/"))


# `/chatkit/threads` ends like `/threads`: the longer path is looked for first.
_PATHS = sorted(((_parts(kind), kind) for kind in Kind), key=lambda path: -len(path[0]))


def recognise(method: str, path: str, base: str = "") -> Call | None:
    """What a request is about, or `None` where it concerns no container or only reads one.

    `path` is the raw path of the URL and `base` that of the client's base URL; whatever else
    stands before the API's own path (versions, deployments) is passed over, and a query ignored.
    """
    below = path.partition("?")[0].removeprefix(base.rstrip("/"))
    names = [unquote(name) for name in below.split("/") if name]
    for parts, kind in _PATHS:
        if (end := _end_of(parts, names)) is not None:
            return _call(method, kind, names[end:])
    if method == "POST" and names[-1:] == [RESPONSES]:
        return Call(Act.RESPOND, Kind.CONVERSATION)
    return None


def _end_of(parts: Sequence[str], names: Sequence[str]) -> int | None:
    """Where the last occurrence of these parts ends."""
    for end in range(len(names), len(parts) - 1, -1):
        if tuple(names[end - len(parts) : end]) == parts:
            return end
    return None


def _call(method: str, kind: Kind, rest: Sequence[str]) -> Call | None:
    if method == "POST" and not rest:
        return Call(Act.CREATE, kind)
    if method == "POST" and kind is Kind.THREAD and list(rest) == ["runs"]:
        return Call(Act.CREATE_AND_RUN, kind)
    if not rest or method in ("GET", "HEAD", "OPTIONS") or not is_id(rest[0]):
        return None
    act = Act.DELETE if method == "DELETE" and len(rest) == 1 else Act.USE
    return Call(act, kind, rest[0])
