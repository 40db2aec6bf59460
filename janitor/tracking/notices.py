"""One line of the spool: what is told of a container. The columns are those of the inbox. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from janitor.catalogue import is_id
from janitor.model import Kind
from janitor.times import known, parse
from janitor.tracking.tags import clean

VERSION = 1
_ENCODER = json.JSONEncoder(separators=(",", ":"))  # `json.dumps` would make one for each line


class Event(StrEnum):
    """What happened to a container; `touch` is activity."""

    REGISTER = "register"
    TOUCH = "touch"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told of one container; `metadata=None` says nothing, `{}` says that there is none."""

    project: str
    kind: Kind
    id: str
    at: datetime
    event: Event
    created_at: datetime | None = None
    metadata: Mapping[str, str] | None = None

    @property
    def document(self) -> dict[str, object]:
        """What JSON says of it; times in ISO 8601."""
        return {
            "v": VERSION,
            "project": self.project,
            "kind": self.kind.value,
            "id": self.id,
            "at": self.at.isoformat(),
            "event": self.event.value,
            "created_at": self.created_at and self.created_at.isoformat(),
            "metadata": self.metadata,
        }


def line_of(notice: Notice) -> bytes:
    """The notice as one line of JSON."""
    return _ENCODER.encode(notice.document).encode() + b"\n"


def notice_of(line: bytes) -> Notice | None:
    """The notice that a line holds, or `None` for a line that is torn or of another version."""
    try:
        said = json.loads(line)
        if said["v"] != VERSION:
            return None
        notice = Notice(
            project=said["project"],
            kind=Kind(said["kind"]),
            id=said["id"],
            at=parse(said["at"]),
            event=Event(said["event"]),
            created_at=_time(said["created_at"]),
            metadata=said["metadata"],
        )
        return notice if _is_sound(notice) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _time(said: object) -> datetime | None:
    return None if said is None else known(parse(said))


def _is_sound(notice: Notice) -> bool:
    """Whether it may go to a database: an odd one must not hold up those behind it."""
    if not is_id(notice.id) or not is_id(notice.project):
        return False
    said = notice.metadata
    return said is None or (isinstance(said, dict) and clean(said) == (said, 0))
