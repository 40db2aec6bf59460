"""Where threads come from besides tracking: files, the application's own table, the API's lists."""

from janitor.sources.files import Rejected, read, registration
from janitor.sources.importing import Import
from janitor.sources.looking import Looked, look, settings_of
from janitor.sources.memory import Memory, down, forget_others, memories
from janitor.sources.opening import Order, opened
from janitor.sources.rejects import Rejects
from janitor.sources.sync import Context, Synced, sync
from janitor.sources.writing import written

__all__ = [
    "Context",
    "Import",
    "Looked",
    "Memory",
    "Order",
    "Rejected",
    "Rejects",
    "Synced",
    "down",
    "forget_others",
    "look",
    "memories",
    "opened",
    "read",
    "registration",
    "settings_of",
    "sync",
    "written",
]
