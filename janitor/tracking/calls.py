"""Which calls concern a container, what their answers name, and the tags sent along. Pure.

A call is recognized by its method and path alone. An answer is read as it passes, and reading it
never raises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

from janitor.kinds import CATALOGUE, METADATA_PAIRS, Kind, is_id
from janitor.texts import PAIRS, misfit
from janitor.times import known, parse


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


def _parts(path: str) -> list[str]:
    return [unquote(name) for name in path.split("/") if name]


CREATED_BY = {kind: trait.created_by for kind, trait in CATALOGUE.items() if trait.created_by}
USED_BY = {kind: trait.used_by for kind, trait in CATALOGUE.items() if trait.used_by}

# `/chatkit/threads` ends in `/threads`: the longer path is tried first.
_PATHS = sorted(
    ((_parts(trait.path), kind) for kind, trait in CATALOGUE.items()),
    key=lambda path: -len(path[0]),
)
_CREATING = {kind: _parts(call.path) for kind, call in CREATED_BY.items()}
_USING = {kind: _parts(call.path) for kind, call in USED_BY.items()}


def recognise(method: str, path: str, base: str = "") -> Call | None:
    """What a request is about, or `None` if it concerns no container or only reads one.

    `path` is the raw path of the URL and `base` that of the client's base URL. Anything else
    before the API's own path (versions, deployments) is skipped, and a query is ignored.
    """
    below = path.partition("?")[0].removeprefix(base.rstrip("/"))
    names = _parts(below)
    for parts, kind in _PATHS:
        if (end := _end_of(parts, names)) is not None:
            return _call(method, kind, names[end - len(parts) :], names[end:])
    for kind, parts in _USING.items():
        if method == "POST" and names[-len(parts) :] == parts:
            return Call(Act.RESPOND, kind)
    return None


def _end_of(parts: list[str], names: list[str]) -> int | None:
    """Where the last occurrence of these parts ends."""
    for end in range(len(names), len(parts) - 1, -1):
        if names[end - len(parts) : end] == parts:
            return end
    return None


def _call(method: str, kind: Kind, whole: list[str], rest: list[str]) -> Call | None:
    if method == "POST" and not rest:
        return Call(Act.CREATE, kind)
    if method == "POST" and _CREATING.get(kind) == whole:
        return Call(Act.CREATE_AND_RUN, kind)
    if not rest or method in ("GET", "HEAD", "OPTIONS") or not is_id(rest[0]):
        return None
    act = Act.DELETE if method == "DELETE" and len(rest) == 1 else Act.USE
    return Call(act, kind, rest[0])


LOOKED_AT = 1 << 20
EVENTS = 16

Decode = Callable[[bytes], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class NamedContainer:
    """A container that an answer names, and when it was created, if the answer says so."""

    id: str
    created_at: datetime | None = None


def found_in(call: Call, value: object) -> NamedContainer | None:
    """The container that a document names; it is an answer, or an event of its stream."""
    if not isinstance(value, dict):
        return None
    match call.act:
        case Act.RESPOND:
            field = USED_BY[call.kind].reply
            return named_in(value, field) or named_in(value.get("response"), field)
        case Act.CREATE | Act.CREATE_AND_RUN:
            return _created(call, value)
        case Act.USE | Act.DELETE:
            return None


def named_in(value: object, field: str) -> NamedContainer | None:
    """The container that a field of a document names, by its id or as an object."""
    named = value.get(field) if isinstance(value, dict) else None
    return _named(named.get("id") if isinstance(named, dict) else named)


def _created(call: Call, values: dict[Any, Any]) -> NamedContainer | None:
    for one in (values, *values.values()):
        if isinstance(one, dict) and one.get("object") == CATALOGUE[call.kind].noun:
            return _named(one.get("id"), one.get("created_at"))
    if call.act is Act.CREATE_AND_RUN:
        return _named(values.get(CREATED_BY[call.kind].reply))
    # A compatible server may leave `object` out of its answer; an event always has a type.
    is_bare = "object" not in values and "type" not in values
    return _named(values.get("id"), values.get("created_at")) if is_bare else None


def _named(id: object, created_at: object = None) -> NamedContainer | None:
    return NamedContainer(id, _time(created_at)) if isinstance(id, str) and is_id(id) else None


def _time(value: object) -> datetime | None:
    try:
        return known(parse(value)) if isinstance(value, int | float) else None
    except ValueError:
        return None


class ReplyReader:
    """Looks at an answer as its bytes pass, until it finds the container, or 1 MiB or 16 events.

    `decode` undoes the transfer's compression. `length` is how many bytes will come, if the server
    said so: then the answer is parsed before its last byte is passed on.
    """

    def __init__(
        self, call: Call, *, is_stream: bool, decode: Decode, length: int | None = None
    ) -> None:
        self._call = call
        self._is_stream = is_stream
        self._decode = decode
        self._length = length
        self._passed = 0
        self._events = 0
        self._held = bytearray()
        self.is_over = False

    def feed(self, raw: bytes) -> NamedContainer | None:
        """Look at the next bytes; return the container once they complete its id."""
        if self.is_over:
            return None
        self._passed += len(raw)
        try:
            return self._look(raw)
        except Exception:  # noqa: BLE001  what cannot be read is not told of, and must not be felt
            return self._done(None)

    def end(self) -> NamedContainer | None:
        """The container, if it can be read only now that the answer has ended."""
        if self.is_over:
            return None
        return self._done(self._parsed(bytes(self._held).removeprefix(b"data:")))

    def _look(self, raw: bytes) -> NamedContainer | None:
        for decoded in self._decode(raw):
            self._held += decoded
            if len(self._held) > LOOKED_AT:
                return self._done(None)
        if not self._is_stream:
            return self.end() if self._passed == self._length else None
        found = next((one for one in map(self._parsed, self._data()) if one), None)
        return self._done(found) if found or self._events >= EVENTS else None

    def _data(self) -> Iterator[bytes]:
        """The data of the events that have passed completely."""
        *lines, rest = self._held.split(b"\n")
        self._held = rest
        for line in lines:
            if line.startswith(b"data:"):
                self._events += 1
                yield bytes(line[len(b"data:") :])

    def _parsed(self, text: bytes) -> NamedContainer | None:
        try:
            return found_in(self._call, json.loads(text))
        except (ValueError, RecursionError):
            return None

    def _done(self, found: NamedContainer | None) -> NamedContainer | None:
        self.is_over = True
        self._held.clear()
        return found


CREATED_AT = "janitor_created_at"


def clean(values: Mapping[Any, object]) -> tuple[dict[str, str], int]:
    """Metadata in the form that the registry accepts, and how many pairs were left out.

    Values other than text are written as text, booleans as in JSON; `None` is ignored.
    """
    kept: dict[str, str] = {}
    given = {key: value for key, value in values.items() if value is not None}
    for key, value in given.items():
        text = value if isinstance(value, str) else _text(value)
        if misfit({key: text}) is None and len(kept) < PAIRS:
            kept[str(key)] = text
    return kept, len(given) - len(kept)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def stamp(at: datetime) -> str:
    """A time as it is written upstream: UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def added(
    told: Mapping[str, str], now: datetime, *, tag: bool, send: Iterable[str]
) -> dict[str, str]:
    """The metadata to add upstream: the time first, then the pairs of `told` that `send` names."""
    time = {CREATED_AT: stamp(now)} if tag else {}
    return time | {key: told[key] for key in send if key in told}


def with_metadata(call: Call, body: bytes, extra: Mapping[str, str]) -> bytes | None:
    """The body of a creating call with more metadata, or `None` if nothing can be added.

    Nothing the application set is changed, and there are never more than 16 pairs.
    """
    document = json.loads(body)
    made = _made(call, document)
    own = (made.get("metadata") or {}) if isinstance(made, dict) else None
    if not isinstance(made, dict) or not isinstance(own, dict):
        return None
    new = [(key, value) for key, value in extra.items() if key not in own]
    room = new[: max(0, METADATA_PAIRS - len(own))]
    if not room:
        return None
    made["metadata"] = own | dict(room)
    return json.dumps(document, separators=(",", ":")).encode()


def _made(call: Call, document: object) -> object:
    """The part of a body that describes the container; added if `create_and_run` leaves it out."""
    if call.act is not Act.CREATE_AND_RUN or not isinstance(document, dict):
        return document
    field = CREATED_BY[call.kind].request
    document[field] = {} if document.get(field) is None else document[field]
    return document[field]
