"""Where threads come from besides tracking: files, the application's own table, the API's lists."""

from janitor.sources.files import Rejected, read, registration
from janitor.sources.importing import Import
from janitor.sources.looking import Looked, look, settings_of
from janitor.sources.memory import (
    INBOX,
    Memory,
    down,
    failed,
    forget_others,
    is_source,
    memories,
    recovered,
    troubles,
)
from janitor.sources.opening import Order, opened
from janitor.sources.rejects import Rejects
from janitor.sources.sync import Context, Synced, sync
from janitor.sources.writing import written

__all__ = [
    "INBOX",
    "Context",
    "Import",
    "Looked",
    "Memory",
    "Order",
    "Rejected",
    "Rejects",
    "Synced",
    "down",
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
