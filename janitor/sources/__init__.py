"""Where threads come from besides tracking: files, the application's own table, the API's lists."""

from janitor.sources.files import Rejected, read, registration
from janitor.sources.memory import Memory, down, forget_others, memories
from janitor.sources.sync import Context, Synced, sync

__all__ = [
    "Context",
    "Memory",
    "Rejected",
    "Synced",
    "down",
    "forget_others",
    "memories",
    "read",
    "registration",
    "sync",
]
