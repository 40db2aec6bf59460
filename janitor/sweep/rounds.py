"""Where a sweep begins: behind the thread that the one before came to, so that none is starved.

What stays due whatever a sweep does (over a limit, in audit, paused, failing) would else stand at
the head of the queue for ever: a sweep that may look at a few only, is cut short by its duration,
or is stopped by calls that fail, would never come to what is behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import chain

import orjson

from janitor.model import Key, Kind, State
from janitor.registry import Cursor, Entry, Registry

Due = Callable[[Cursor | None], Iterable[Entry]]
Missing = Callable[[Key | None], Iterable[Entry]]
Place = Cursor | Key
"""Among what is due, or, by its key alone, among what is missing."""


class Round:
    """Goes once round all that is up for review, from where the last round ended.

    Kept apart for each `policy` that is swept alone: one such sweep says nothing of another.
    """

    def __init__(self, registry: Registry, policy: str | None) -> None:
        self._registry = registry
        self._name = f"round_{policy or ''}"
        self._begun_at = _read(registry.recall(self._name))
        self._reached = self._begun_at

    def entries(
        self, due: Due, missing: Missing, limit: int | None, is_stopped: Callable[[], bool]
    ) -> Iterator[Entry]:
        """Each entry once, `limit` at most; what is passed by while stopped is not reached."""
        for number, entry in enumerate(self._circle(due, missing), start=1):
            is_missing = entry.thread.state is State.MISSING
            place: Place = entry.thread.key if is_missing else Cursor.of(entry)
            yield entry
            # Asked for more: this one was begun.
            if not is_stopped():
                self._reached = place
            if number == limit:
                return

    def _circle(self, due: Due, missing: Missing) -> Iterator[Entry]:
        match self._begun_at:
            case None:
                return chain(due(None), missing(None))
            case Cursor() as place:
                return chain(due(place), missing(None), due(None))
            case Key() as place:
                return chain(missing(place), due(None), missing(None))

    def end(self, *, whole: bool) -> None:
        """Remember how far it came; the next one begins anywhere once this one was `whole`."""
        place = None if whole else self._reached
        if place != self._begun_at:
            self._registry.remember(self._name, _written(place))


def _written(place: Place | None) -> str:
    if place is None:
        return ""
    key, at = (place.key, place.review_at) if isinstance(place, Cursor) else (place, None)
    return orjson.dumps([at, key.project, key.kind, key.id]).decode()


def _read(said: str | None) -> Place | None:
    if not said:
        return None
    at, project, kind, name = orjson.loads(said)
    key = Key(project, Kind(kind), name)
    return key if at is None else Cursor(datetime.fromisoformat(at), key)
