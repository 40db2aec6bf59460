"""Where threads come from besides tracking: files, the application's own table, the API's lists."""

from janitor.sources.files import Rejected, read, registration
from janitor.sources.looking import Looked, look, settings_of
from janitor.sources.memory import Memory, down, forget_others, memories
from janitor.sources.sync import Context, Synced, sync

__all__ = [
    "Context",
    "Looked",
    "Memory",
    "Rejected",
    "Synced",
    "down",
    "forget_others",
    "look",
    "memories",
    "read",
    "registration",
    "settings_of",
    "sync",
]
