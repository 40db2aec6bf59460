"""Registering threads over HTTP: each is a row of the inbox, and can do no more than one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.routing import Route

from janitor.registry import Notice, RefusedRegistration
from janitor.service.asking import Answer, Asked, AskedWrongError, know, operation
from janitor.service.http import Scope
from janitor.sources import registration

MOST = 1000
EVENTS = ("register", "touch", "deleted")
TEXTS = ("id", "kind", "project", "event")
TIMES = ("at", "created_at", "last_active_at", "keep_until")
FIELDS = (*TEXTS, *TIMES, "metadata", "v")
PLACE = ("project", "kind", "id")
VERSION = 1
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Threads:
    """The inbox, the names of the configured projects, and the clock."""

    append: Callable[[Iterable[Notice]], int]
    projects: Callable[[], frozenset[str]]
    now: Callable[[], datetime]

    def routes(self) -> list[Route]:
        """What a token of the scope `register` opens."""
        path = "/api/threads/{project}/{kind}/{id}"
        return [
            operation("/api/threads", Scope.REGISTER, self._add, status=202),
            operation(path, Scope.REGISTER, self._change, method="PATCH", status=202),
        ]

    def _add(self, asked: Asked) -> Answer:
        if "threads" not in asked.said:
            return self._take([asked.said])
        know(asked.said, "threads")
        rows = asked.said["threads"]
        if not isinstance(rows, list) or len(rows) > MOST:
            raise AskedWrongError(f"threads is to be a list of at most {MOST}")
        return self._take(rows)

    def _change(self, asked: Asked) -> Answer:
        know(asked.said, *(name for name in FIELDS if name not in PLACE))
        return self._take([{**asked.said, **asked.path}])

    def _take(self, rows: Sequence[object]) -> Answer:
        projects, now = tuple(sorted(self.projects())), self.now()
        notices: list[Notice] = []
        refused: list[Answer] = []
        remarks: list[Answer] = []
        for index, row in enumerate(rows):
            try:
                notice, odd = notice_of(row, projects, now)
                notices.append(notice)
                remarks += [{"index": index, "id": notice.id, "reason": said} for said in odd]
            except (AskedWrongError, RefusedRegistration, ValueError) as error:
                refused.append({"index": index, "id": _id(row), "reason": str(error)})
        answer: Answer = {"accepted": len(notices), "refused": refused}
        if remarks:
            answer["remarks"] = remarks
        if refused and not notices:
            raise AskedWrongError(refused[0]["reason"], more=answer)
        self.append(notices)
        return answer


def notice_of(
    said: object, projects: tuple[str, ...], now: datetime
) -> tuple[Notice, tuple[str, ...]]:
    """The notice that one thread of a request stands for, and remarks on times never set.

    Raises:
        AskedWrongError: A value is malformed or of an unknown name; says which.
        ValueError: One is missing, or no time, or names what is not configured; says which.
        RefusedRegistration: The registry would not take it.
    """
    row = _fields(said)
    if row["at"] is not None and row["last_active_at"] is not None:
        raise AskedWrongError("at and last_active_at are one: say one of them")
    active_at = row["last_active_at"] if row["at"] is None else row["at"]
    told = {name: row[name] for name in (*PLACE, "created_at", "keep_until", "metadata")}
    known = registration({**told, "last_active_at": active_at}, projects, strict=True)
    notice = Notice(
        known.key.project,
        known.key.kind.value,
        known.key.id,
        known.last_active_at or now,
        row["event"] or EVENTS[0],
        known.created_at,
        known.metadata,
        known.keep_until,
    )
    return notice, known.remarks


def _fields(said: object) -> Mapping[str, Any]:
    """Every field of a thread, `None` where nothing was said; each of its own type."""
    if not isinstance(said, Mapping):
        raise AskedWrongError("a thread is to be an object")
    if unknown := sorted(said.keys() - set(FIELDS)):
        raise AskedWrongError(
            f"{ascii(unknown[0])[:80]} is not known here; known: {', '.join(FIELDS)}"
        )
    row = {name: said.get(name) for name in FIELDS}
    for name in TEXTS:
        if not isinstance(row[name], str | None):
            raise AskedWrongError(f"{name} is to be a text")
    for name in TIMES:
        if not isinstance(row[name], str | int | float | None) or isinstance(row[name], bool):
            raise AskedWrongError(f"{name} is to be a time: ISO 8601 or epoch seconds")
    if not isinstance(row["metadata"], dict | None):
        raise AskedWrongError("metadata is to be an object of texts")
    if row["v"] not in (None, VERSION) or row["event"] not in (None, *EVENTS):
        raise AskedWrongError(f"v is to be {VERSION}, and event one of {', '.join(EVENTS)}")
    return row


def _id(said: object) -> str | None:
    """How a refused thread called itself, so that its sender finds it again."""
    named = said.get("id") if isinstance(said, Mapping) else None
    return named[:SHOWN] if isinstance(named, str) else None
