"""The decisions of a plan, thread by thread, and the digest over them; memory is bounded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from janitor.engine.spill import HELD, Spill
from janitor.model import Key, Kind, Stage


@dataclass(frozen=True, slots=True)
class Planned:
    """One thread as it was when the plan was made; `probed` tells whether the server was asked.

    `stages` are what `apply` carries out; `swept` are those that a sweep would carry out by itself.
    A sweep leaves the others because of `reason`: `unapproved`, `limit`, `paused`, `audit`,
    `archive_down`, `uncounted`. `apply` also leaves what a pause, audit or the archive keeps, while
    that lasts.
    """

    key: Key
    stages: tuple[Stage, ...]
    policy: str | None
    due_at: datetime | None
    age_base: datetime | None
    reason: str | None
    last_active_at: datetime | None
    newest_item: str | None
    probed: bool
    swept: tuple[Stage, ...] = ()

    def row(self) -> dict[str, Any]:
        """The decision with the field names of `--output json`."""
        key = self.key
        return {
            "project": key.project,
            "kind": key.kind,
            "id": key.id,
            "stage": self.stages[0] if self.stages else "none",
            "stages": self.stages,
            "policy": self.policy,
            "due_at": self.due_at,
            "age_base": self.age_base,
            "reason": self.reason,
            "last_active_at": self.last_active_at,
            "newest_item": self.newest_item,
            "probed": self.probed,
            "swept": self.swept,
        }


def planned(row: Mapping[str, object]) -> Planned:
    """One decision of a plan's document, or ValueError, KeyError, TypeError."""
    return Planned(
        Key(str(row["project"]), Kind(str(row["kind"])), str(row["id"])),
        tuple(Stage(str(stage)) for stage in _list(row["stages"])),
        _text(row["policy"]),
        _time(row["due_at"]),
        _time(row["age_base"]),
        _text(row["reason"]),
        _time(row["last_active_at"]),
        _text(row["newest_item"]),
        bool(row["probed"]),
        tuple(Stage(str(stage)) for stage in _list(row.get("swept", []))),
    )


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _time(value: object) -> datetime | None:
    return None if value is None else datetime.fromisoformat(str(value))


class Decisions(Spill[Planned]):
    """The decisions of a plan in order.

    `acting` counts those with stages to carry out, `swept` those of which a sweep carries out some
    by itself; `reasons` are the reasons of those with stages.
    """

    def __init__(self, decisions: Iterable[Planned] = (), *, held: int = HELD) -> None:
        super().__init__(_encoded, _decoded, held=held)
        self.acting = self.swept = 0
        self.reasons: set[str | None] = set()
        self._digest: tuple[bytes, int, str] | None = None
        self.extend(decisions)

    def append(self, element: Planned) -> None:
        """Add a decision at the end, and count it; raises as `Spill.append` does."""
        super().append(element)
        self.swept += bool(element.swept)
        if element.stages:
            self.acting += 1
            self.reasons.add(element.reason)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The decisions as in the plan's document, with times as text."""
        return map(orjson.loads, self.encoded())

    def digest(self, head: bytes) -> str:
        """sha256 over the head and over every decision to act, sorted."""
        if self._digest is None or self._digest[:2] != (head, len(self)):
            sum_ = hashlib.sha256(head)
            for row in self.ordered():
                if self.acting == len(self) or orjson.loads(row)["stages"]:
                    sum_.update(b"\n" + row)
            self._digest = (head, len(self), sum_.hexdigest())
        return self._digest[2]


def _encoded(decision: Planned) -> bytes:
    return orjson.dumps(decision.row())


def _decoded(row: bytes) -> Planned:
    return planned(orjson.loads(row))
