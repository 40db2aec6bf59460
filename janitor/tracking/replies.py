"""Which container an answer names, read while the answer passes. Pure, and never raises."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from janitor.catalogue import is_id
from janitor.model import Kind
from janitor.times import known, parse
from janitor.tracking.calls import Act, Call

LOOKED_AT = 1 << 20
EVENTS = 16

_OBJECTS = {
    Kind.CONVERSATION: "conversation",
    Kind.CHATKIT_THREAD: "chatkit.thread",
    Kind.AGENT_SESSION: "agent.session",
    Kind.THREAD: "thread",
}

Decode = Callable[[bytes], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Found:
    """A container that an answer names, and when it was made where the answer says so."""

    id: str
    created_at: datetime | None = None


def found_in(call: Call, said: object) -> Found | None:
    """The container that a document names, be it the answer or an event of its stream."""
    if not isinstance(said, dict):
        return None
    match call.act:
        case Act.RESPOND:
            return conversation_of(said) or conversation_of(said.get("response"))
        case Act.CREATE | Act.CREATE_AND_RUN:
            return _created(call, said)
        case Act.USE | Act.DELETE:
            return None


def conversation_of(said: object) -> Found | None:
    """The conversation that a response, or the request for one, belongs to."""
    named = said.get("conversation") if isinstance(said, dict) else None
    return _named(named.get("id") if isinstance(named, dict) else named)


def _created(call: Call, said: dict[Any, Any]) -> Found | None:
    for one in (said, *said.values()):
        if isinstance(one, dict) and one.get("object") == _OBJECTS[call.kind]:
            return _named(one.get("id"), one.get("created_at"))
    if call.act is Act.CREATE_AND_RUN:
        return _named(said.get("thread_id"))
    # A compatible server may leave `object` out of its answer; an event always has a type.
    is_bare = "object" not in said and "type" not in said
    return _named(said.get("id"), said.get("created_at")) if is_bare else None


def _named(id: object, created_at: object = None) -> Found | None:
    return Found(id, _time(created_at)) if isinstance(id, str) and is_id(id) else None


def _time(said: object) -> datetime | None:
    try:
        return known(parse(said)) if isinstance(said, int | float) else None
    except ValueError:
        return None


class Reading:
    """Looks at an answer as its bytes pass, until the container is found or 1 MiB went by.

    `decode` undoes the transfer's compression, `length` is how many bytes will come where the
    server said so: then the answer is understood before its last byte is handed on.
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

    def feed(self, raw: bytes) -> Found | None:
        """Look at the next bytes; the container, once, where they complete its name."""
        if self.is_over:
            return None
        self._passed += len(raw)
        try:
            return self._look(raw)
        except Exception:  # noqa: BLE001  what cannot be read is not told of, and must not be felt
            return self._done(None)

    def end(self) -> Found | None:
        """The container, where only the end of the answer completed its name."""
        if self.is_over:
            return None
        return self._done(self._parsed(bytes(self._held).removeprefix(b"data:")))

    def _look(self, raw: bytes) -> Found | None:
        for decoded in self._decode(raw):
            self._held += decoded
            if len(self._held) > LOOKED_AT:
                return self._done(None)
        if not self._is_stream:
            return self.end() if self._passed == self._length else None
        found = next((one for one in map(self._parsed, self._data()) if one), None)
        return self._done(found) if found or self._events >= EVENTS else None

    def _data(self) -> Iterator[bytes]:
        """The data of the events that have passed whole."""
        *lines, rest = self._held.split(b"\n")
        self._held = rest
        for line in lines:
            if line.startswith(b"data:"):
                self._events += 1
                yield bytes(line[len(b"data:") :])

    def _parsed(self, text: bytes) -> Found | None:
        try:
            return found_in(self._call, json.loads(text))
        except (ValueError, RecursionError):
            return None

    def _done(self, found: Found | None) -> Found | None:
        self.is_over = True
        self._held.clear()
        return found
