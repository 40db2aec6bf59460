"""What one tracked client reports about its calls. Nothing here raises or waits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from janitor.kinds import CATALOGUE, Kind
from janitor.model import Key, NoticeEvent
from janitor.texts import counted
from janitor.tracking.calls import (
    USED_BY,
    Act,
    Call,
    NamedContainer,
    ReplyReader,
    added,
    clean,
    named_in,
    recognise,
    with_metadata,
)
from janitor.tracking.delivery import Post
from janitor.tracking.metrics import COUNTERS
from janitor.tracking.notices import Notice

MetadataSource = Mapping[str, object] | Callable[[], Mapping[str, object] | None] | None

SUCCESS = range(200, 300)
REFUSED = range(300, 500)


@dataclass(frozen=True, slots=True)
class TrackedRequest:
    """A request that concerns a container; `body` replaces its own if not `None`."""

    call: Call
    metadata: dict[str, str] | None = None
    body: bytes | None = None


class CallObserver:
    """Sees calls and answers, and reports what they mean for retention to a post.

    `metadata` is what the registry is told about a new container: a mapping, or a function that
    returns one at each creation. `tag` and `send` say what also goes upstream. `base` is the path
    of the client's base URL.
    """

    def __init__(
        self,
        post: Post,
        *,
        project: str,
        metadata: MetadataSource = None,
        tag: bool = True,
        send: Iterable[str] = (),
        base: str = "",
    ) -> None:
        self._post = post
        self._project = project
        self._metadata = metadata
        self._tag = tag
        self._send = tuple(send)
        self._base = base

    def tells_the_same(self, other: CallObserver) -> bool:
        """Whether both report on the same project to the same registry."""
        return (self._post, self._project) == (other._post, other._project)

    def on_request(
        self, method: str, path: str, body: Callable[[], bytes | None]
    ) -> TrackedRequest | None:
        """What a request is about; `body` returns its bytes if reading them costs nothing."""
        try:
            call = recognise(method, path, self._base)
            if call is None:
                return None
            if call.act is Act.RESPOND:
                return TrackedRequest(_answering(call, body()))
            if call.act in (Act.CREATE, Act.CREATE_AND_RUN):
                return self._creating(call, body)
            return TrackedRequest(call)
        except Exception as error:  # noqa: BLE001  the application's call goes on whatever this is
            _complain(error)
            return None

    def on_response(
        self, tracked: TrackedRequest, status: int | None, reading: Callable[[Call], ReplyReader]
    ) -> InFlight | None:
        """Report what the answer's status means; returns a reader if the body must be read, too.

        `status` is `None` if no answer came: the call may have taken effect.
        """
        try:
            if tracked.call.id is not None:
                self._used(tracked.call, tracked.call.id, status)
            elif status in SUCCESS:
                return InFlight(self, tracked, reading(tracked.call))
        except Exception as error:  # noqa: BLE001  likewise
            _complain(error)
        return None

    def on_container(self, tracked: TrackedRequest, container: NamedContainer | None) -> None:
        """Report the container that an answer named; warn if a creation's answer named none."""
        if container is None:
            if tracked.call.act is not Act.RESPOND:
                COUNTERS.drop("the response to a creation was not read up to its id")
            return
        if tracked.call.act is Act.RESPOND:
            self._tell(tracked.call.kind, container.id, NoticeEvent.TOUCH)
            return
        self._is_due(tracked.call.kind, container.id)
        self._tell(
            tracked.call.kind,
            container.id,
            NoticeEvent.REGISTER,
            container.created_at,
            tracked.metadata,
        )

    def _used(self, call: Call, id: str, status: int | None) -> None:
        if call.act is Act.DELETE:
            if status in SUCCESS:
                self._tell(call.kind, id, NoticeEvent.DELETED)
        elif status not in REFUSED and self._is_due(call.kind, id):
            self._tell(call.kind, id, NoticeEvent.TOUCH)

    def _is_due(self, kind: Kind, id: str) -> bool:
        return self._post.touches.are_due(Key(self._project, kind, id))

    def _creating(self, call: Call, body: Callable[[], bytes | None]) -> TrackedRequest:
        tracked = TrackedRequest(call, self._described())
        extra = added(tracked.metadata or {}, datetime.now(UTC), tag=self._tag, send=self._send)
        if not extra or not CATALOGUE[call.kind].has_metadata:
            return tracked
        with suppress(ValueError, RecursionError):  # a body that is not JSON is sent unchanged
            if given := body():
                return replace(tracked, body=with_metadata(call, given, extra))
        return tracked

    def _described(self) -> dict[str, str] | None:
        """The application's metadata for the container that it creates now."""
        try:
            metadata = self._metadata() if callable(self._metadata) else self._metadata
            if metadata is None:
                return None
            described, left_out = clean(dict(metadata))
        except Exception as error:  # noqa: BLE001  the application's own function may raise anything
            COUNTERS.complain("metadata could not be read", type(error).__name__)
            return None
        if left_out:
            COUNTERS.complain(
                "metadata was left out", f"{counted(left_out, 'pair')} too long or too many"
            )
        return described

    def _tell(
        self,
        kind: Kind,
        id: str,
        event: NoticeEvent,
        created_at: datetime | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        at = datetime.now(UTC)
        self._post.put(Notice(self._project, kind, id, at, event, created_at, metadata))


def _answering(call: Call, body: bytes | None) -> Call:
    """The call as a use of a container, if the request for a response names one."""
    field = USED_BY[call.kind].request
    if not body or f'"{field}"'.encode() not in body:
        return call
    named = named_in(json.loads(body), field)
    return call if named is None else Call(Act.USE, call.kind, named.id)


class InFlight:
    """An answer on its way to the application."""

    def __init__(
        self, observer: CallObserver, tracked: TrackedRequest, reading: ReplyReader
    ) -> None:
        self._observer = observer
        self._tracked = tracked
        self._reading = reading

    def feed(self, raw: bytes) -> None:
        """Look at the next bytes, before the application gets them."""
        self._look(lambda: self._reading.feed(raw))

    def end(self) -> None:
        """Look at what has come: no more bytes will."""
        self._look(self._reading.end)

    def __del__(self) -> None:
        """End it if the application dropped the answer without closing it."""
        if not sys.is_finalizing():
            self.end()

    def _look(self, at: Callable[[], NamedContainer | None]) -> None:
        if self._reading.is_over:
            return
        try:
            container = at()
            if self._reading.is_over:
                self._observer.on_container(self._tracked, container)
        except Exception as error:  # noqa: BLE001  the answer goes on whatever this is
            _complain(error)


def _complain(error: Exception) -> None:
    COUNTERS.drop(f"a call could not be understood: {type(error).__name__}")
