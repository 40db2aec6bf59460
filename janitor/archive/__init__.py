"""Durable, proven copies of threads.

Terms in docs/glossary.md: archive, copy, fingerprint, store.
"""

from janitor.archive.archive import Archive, ObjectDraft
from janitor.archive.fingerprint import Fingerprint, fingerprint
from janitor.archive.local import ArchiveDamagedError
from janitor.archive.object_format import Header, Trailer

__all__ = [
    "Archive",
    "ArchiveDamagedError",
    "Fingerprint",
    "Header",
    "ObjectDraft",
    "Trailer",
    "fingerprint",
]
