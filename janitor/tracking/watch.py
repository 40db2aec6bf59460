"""What one tracked client tells of the calls that pass it. Nothing here raises or waits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from janitor.catalogue import CATALOGUE
from janitor.model import Key, Kind
from janitor.tracking.calls import Act, Call, recognise
from janitor.tracking.counters import COUNTERS
from janitor.tracking.delivery import Post
from janitor.tracking.notices import Event, Notice
from janitor.tracking.replies import Found, Reading, conversation_of
from janitor.tracking.tags import added, clean, with_metadata

Told = Mapping[str, object] | Callable[[], Mapping[str, object] | None] | None

SUCCESS = range(200, 300)
REFUSED = range(300, 500)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that concerns a container; `body` is what goes in the place of its own, if any."""

    call: Call
    told: dict[str, str] | None = None
    body: bytes | None = None


class Watch:
    """Sees calls and answers, and puts what they mean for retention into the post.

    `told` is what the registry is told of a new container, a mapping or what gives one at each
    creation; `tag` and `send` say what of it goes upstream, too. `base` is the path of the
    client's base URL.
    """

    def __init__(
        self,
        post: Post,
        *,
        project: str,
        told: Told = None,
        tag: bool = True,
        send: Iterable[str] = (),
        base: str = "",
    ) -> None:
        self._post = post
        self._project = project
        self._told = told
        self._tag = tag
        self._send = tuple(send)
        self._base = base

    def tells_the_same(self, other: Watch) -> bool:
        """Whether both tell one registry of one project."""
        return (self._post, self._project) == (other._post, other._project)

    def asked(self, method: str, path: str, body: Callable[[], bytes | None]) -> Asked | None:
        """What a request is about; `body` gives its bytes where they can be read at no cost."""
        try:
            call = recognise(method, path, self._base)
            if call is None:
                return None
            if call.act is Act.RESPOND:
                return Asked(_answering(call, body()))
            if call.act in (Act.CREATE, Act.CREATE_AND_RUN):
                return self._creating(call, body)
            return Asked(call)
        except Exception as error:  # noqa: BLE001  the application's call goes on whatever this is
            _complain(error)
            return None

    def answered(
        self, asked: Asked, status: int | None, reading: Callable[[Call], Reading]
    ) -> Passing | None:
        """Tell what the answer's status means; what of the answer must be looked at, if anything.

        `status` is `None` where no answer came: what was asked may have been done.
        """
        try:
            if asked.call.id is not None:
                self._used(asked.call, asked.call.id, status)
            elif status in SUCCESS:
                return Passing(self, asked, reading(asked.call))
        except Exception as error:  # noqa: BLE001  likewise
            _complain(error)
        return None

    def found(self, asked: Asked, found: Found | None) -> None:
        """Tell of the container that an answer named, or that a creation's answer named none."""
        if found is None:
            if asked.call.act is not Act.RESPOND:
                COUNTERS.drop("the answer to a creation was not read as far as its id")
            return
        if asked.call.act is Act.RESPOND:
            self._tell(asked.call.kind, found.id, Event.TOUCH)
            return
        self._is_due(asked.call.kind, found.id)
        self._tell(asked.call.kind, found.id, Event.REGISTER, found.created_at, asked.told)

    def _used(self, call: Call, id: str, status: int | None) -> None:
        if call.act is Act.DELETE:
            if status in SUCCESS:
                self._tell(call.kind, id, Event.DELETED)
        elif status not in REFUSED and self._is_due(call.kind, id):
            self._tell(call.kind, id, Event.TOUCH)

    def _is_due(self, kind: Kind, id: str) -> bool:
        return self._post.touches.are_due(Key(self._project, kind, id))

    def _creating(self, call: Call, body: Callable[[], bytes | None]) -> Asked:
        asked = Asked(call, self._described())
        extra = added(asked.told or {}, datetime.now(UTC), tag=self._tag, send=self._send)
        if not extra or not CATALOGUE[call.kind].has_metadata:
            return asked
        with suppress(ValueError, RecursionError):  # what is no JSON goes as it came
            if given := body():
                return replace(asked, body=with_metadata(call, given, extra))
        return asked

    def _described(self) -> dict[str, str] | None:
        """What the application knows of what it creates right now."""
        try:
            said = self._told() if callable(self._told) else self._told
            if said is None:
                return None
            told, left_out = clean(dict(said))
        except Exception as error:  # noqa: BLE001  the application's own function may raise anything
            COUNTERS.complain("metadata could not be had", type(error).__name__)
            return None
        if left_out:
            COUNTERS.complain("metadata was left out", f"{left_out} pairs too long or too many")
        return told

    def _tell(
        self,
        kind: Kind,
        id: str,
        event: Event,
        created_at: datetime | None = None,
        told: dict[str, str] | None = None,
    ) -> None:
        at = datetime.now(UTC)
        self._post.put(Notice(self._project, kind, id, at, event, created_at, told))


def _answering(call: Call, body: bytes | None) -> Call:
    """The use of a conversation where the request for a response names it."""
    if not body or b'"conversation"' not in body:
        return call
    named = conversation_of(json.loads(body))
    return call if named is None else Call(Act.USE, call.kind, named.id)


class Passing:
    """An answer on its way to the application."""

    def __init__(self, watch: Watch, asked: Asked, reading: Reading) -> None:
        self._watch = watch
        self._asked = asked
        self._reading = reading

    def feed(self, raw: bytes) -> None:
        """The next bytes, before the application has them."""
        self._look(lambda: self._reading.feed(raw))

    def end(self) -> None:
        """No more bytes will come."""
        self._look(self._reading.end)

    def __del__(self) -> None:
        """The application lost the answer without closing it."""
        if not sys.is_finalizing():
            self.end()

    def _look(self, at: Callable[[], Found | None]) -> None:
        if self._reading.is_over:
            return
        try:
            found = at()
            if self._reading.is_over:
                self._watch.found(self._asked, found)
        except Exception as error:  # noqa: BLE001  the answer goes on whatever this is
            _complain(error)


def _complain(error: Exception) -> None:
    COUNTERS.drop(f"a call could not be understood: {type(error).__name__}")
