"""The archive: an object of its own is put there, read back, compared and taken away again."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import datetime

from janitor.archive import Archive
from janitor.config import Config
from janitor.doctor.findings import Finding, fine, wrong
from janitor.doctor.machine import room
from janitor.errors import ArchiveError
from janitor.model import Key, Kind, Record
from janitor.registry import Registry

ID = "janitor_doctor"
BODY = b'{"id":"janitor_doctor","object":"conversation"}'


async def look_at_archive(
    config: Config, registry: Registry | None, now: datetime
) -> list[Finding]:
    """Whether copies can be made, and how much room there is.

    An archive that nobody has begun yet is not begun by looking.

    Raises:
        ArchiveError: It does not serve, with what to do.
    """
    root, url = config.archive.path, config.archive.url
    known = registry is not None and registry.archive_url() == url
    if not known and not (root / ".incoming").is_dir():
        return [*_unbegun(config), *room("archive", root)]
    archive = Archive.open(url, known=known)
    project = next(iter(config.projects))
    copy = await archive.put(Key(project, Kind.CONVERSATION, ID), now, _object(), now)
    try:
        await archive.prove(copy)
        read = [part.body for part in archive.read(copy.path) if isinstance(part, Record)]
        if read != [BODY]:
            raise ArchiveError(f"archive {root}: what was written is not what is read")
    finally:
        await archive.remove(copy.path)
    says = f"{root}: an object was written, proven, read and removed"
    return [fine("archive", says), *room("archive", root)]


async def _object() -> AsyncIterator[Record]:
    yield Record(ID, BODY, is_item=False)


def _unbegun(config: Config) -> list[Finding]:
    root = place = config.archive.path
    while not place.exists():
        place = place.parent
    if os.access(place, os.W_OK | os.X_OK):
        return [fine("archive", f"{root} is begun with the first copy")]
    todo = f"make {root} for this user (mode 700), or name another place: archive.url"
    return [wrong("archive", f"{place} cannot be written by this user", todo)]
