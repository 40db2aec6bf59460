"""Where threads come from besides tracking: files, the application's own table, the API's lists."""

from janitor.sources.files import Rejected, read, registration

__all__ = ["Rejected", "read", "registration"]
