"""Where threads come from besides tracking: files, the application's own table, the API's lists.

Terms in docs/glossary.md: cursor, discovery, scan, source, vanished, watermark.
"""

from janitor.sources.exporter import written
from janitor.sources.files import Rejected, read, registration
from janitor.sources.importer import Import, Order, Rejects, opened
from janitor.sources.suggest import Looked, look, settings_of
from janitor.sources.sync import Context, Synced, sync
from janitor.sources.watermark import (
    INBOX,
    MEMORY,
    InputMemory,
    down,
    down_by,
    failed,
    forget_others,
    is_source,
    memories,
    recovered,
    troubles,
)

__all__ = [
    "INBOX",
    "MEMORY",
    "Context",
    "Import",
    "InputMemory",
    "Looked",
    "Order",
    "Rejected",
    "Rejects",
    "Synced",
    "down",
    "down_by",
    "failed",
    "forget_others",
    "is_source",
    "look",
    "memories",
    "opened",
    "read",
    "recovered",
    "registration",
    "settings_of",
    "sync",
    "troubles",
    "written",
]
