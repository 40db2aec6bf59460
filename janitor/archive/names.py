"""Where an object lies: `project/kind/yyyy/mm/<id>.<first 12 of the digest>.jsonl.zst`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from janitor.catalogue import is_id
from janitor.errors import ConfigError, RefusedError
from janitor.model import Key, Kind

SUFFIX = ".jsonl.zst"
SHORT = 12
UNKNOWN = "unknown"

# No leading dot: dotted names at the top are the archive's own.
_PROJECT = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
_NAME = rf"(?P<id>[A-Za-z0-9._:-]{{1,200}})\.(?P<short>[0-9a-f]{{{SHORT}}}){re.escape(SUFFIX)}"
_PATH = re.compile(
    rf"(?P<project>{_PROJECT})/(?P<kind>{'|'.join(Kind)})/(?:[0-9]{{4}}/[0-9]{{2}}|{UNKNOWN})/{_NAME}"
)


def directory(key: Key, created_at: datetime | None) -> str:
    """The directory of a series; the month of creation is UTC.

    Raises `ConfigError` for a project whose name cannot be a directory, `RefusedError` for an id
    that no API hands out.
    """
    if re.fullmatch(_PROJECT, key.project) is None:
        raise ConfigError(
            f"project {key.project!r} cannot name a directory of the archive; write letters, "
            "digits, '.', '_' and '-' (100 at most, no '.' in front)"
        )
    if not is_id(key.id):
        raise RefusedError(f"id {key.id!r} in project {key.project} cannot name an object")
    month = UNKNOWN if created_at is None else _month(created_at.astimezone(UTC))
    return f"{key.project}/{key.kind.value}/{month}"


def path(directory: str, key: Key, digest: str) -> str:
    """The path of the object of a thread with this content digest."""
    return f"{directory}/{key.id}.{digest[:SHORT]}{SUFFIX}"


def parse(path: str) -> tuple[Key, str] | None:
    """Whose object a path names, and the first 12 of its digest; `None` for any other path."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    return Key(found["project"], Kind(found["kind"]), found["id"]), found["short"]


def _month(at: datetime) -> str:
    return f"{at.year:04d}/{at.month:02d}"
