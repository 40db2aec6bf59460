"""A notice, one line of the spool: what is reported about a container. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from janitor.kinds import is_id
from janitor.model import NOTICE_VERSION, Kind, NoticeEvent
from janitor.times import known, parse
from janitor.tracking.calls import clean

_ENCODER = json.JSONEncoder(separators=(",", ":"))  # `json.dumps` would make one for each line


@dataclass(frozen=True, slots=True)
class Notice:
    """A report about one container; `metadata` is `None` if unknown, `{}` if there is none."""

    project: str
    kind: Kind
    id: str
    at: datetime
    event: NoticeEvent
    created_at: datetime | None = None
    metadata: Mapping[str, str] | None = None

    @property
    def document(self) -> dict[str, object]:
        """The notice for JSON, named like the inbox's columns; times in ISO 8601."""
        return {
            "v": NOTICE_VERSION,
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
    """The notice in a line; `None` if the line is torn or of another version."""
    try:
        document = json.loads(line)
        if document["v"] != NOTICE_VERSION:
            return None
        notice = Notice(
            project=document["project"],
            kind=Kind(document["kind"]),
            id=document["id"],
            at=parse(document["at"]),
            event=NoticeEvent(document["event"]),
            created_at=_time(document["created_at"]),
            metadata=document["metadata"],
        )
        return notice if _is_sound(notice) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _time(value: object) -> datetime | None:
    return None if value is None else known(parse(value))


def _is_sound(notice: Notice) -> bool:
    """Whether a database will accept it: a bad notice must not hold up those behind it."""
    if not is_id(notice.id) or not is_id(notice.project):
        return False
    metadata = notice.metadata
    return metadata is None or (isinstance(metadata, dict) and clean(metadata) == (metadata, 0))
