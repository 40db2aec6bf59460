"""What goes upstream with a new container, beside what the application says of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from janitor.catalogue import METADATA_PAIRS
from janitor.texts import PAIRS, misfit
from janitor.tracking.calls import Act, Call

CREATED_AT = "janitor_created_at"


def clean(said: Mapping[Any, object]) -> tuple[dict[str, str], int]:
    """Metadata as the registry takes it, and how many pairs it could not take.

    Values that are no text are written as text, booleans as JSON does; `None` says nothing.
    """
    kept: dict[str, str] = {}
    given = {key: value for key, value in said.items() if value is not None}
    for key, value in given.items():
        text = value if isinstance(value, str) else _text(value)
        if misfit({key: text}) is None and len(kept) < PAIRS:
            kept[str(key)] = text
    return kept, len(given) - len(kept)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def stamp(at: datetime) -> str:
    """A moment as it stands upstream: UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def added(
    told: Mapping[str, str], now: datetime, *, tag: bool, send: Iterable[str]
) -> dict[str, str]:
    """What is to be added upstream: the time first, then what `send` names of what is told."""
    time = {CREATED_AT: stamp(now)} if tag else {}
    return time | {key: told[key] for key in send if key in told}


def with_metadata(call: Call, body: bytes, extra: Mapping[str, str]) -> bytes | None:
    """The body of a creating call with more metadata, or `None` where nothing can be added.

    Nothing the application set is changed, and never are there more than 16 pairs.
    """
    said = json.loads(body)
    made = _made(call, said)
    own = (made.get("metadata") or {}) if isinstance(made, dict) else None
    if not isinstance(made, dict) or not isinstance(own, dict):
        return None
    new = [(key, value) for key, value in extra.items() if key not in own]
    room = new[: max(0, METADATA_PAIRS - len(own))]
    if not room:
        return None
    made["metadata"] = own | dict(room)
    return json.dumps(said, separators=(",", ":")).encode()


def _made(call: Call, said: object) -> object:
    """The part of a body that describes the container; `create_and_run` may leave it out."""
    if call.act is not Act.CREATE_AND_RUN or not isinstance(said, dict):
        return said
    said["thread"] = {} if said.get("thread") is None else said["thread"]
    return said["thread"]
