"""Why a stage that was decided is not carried out, or not provably."""

from __future__ import annotations

from janitor.engine.review import Review
from janitor.errors import DriverError


class ChangedError(Exception):
    """The thread is no longer what was decided about; it is kept, for the reason given.

    `review` is the look that found it so, to be recorded: what it saw arrive is activity.
    """

    def __init__(self, reason: str, *, review: Review | None = None) -> None:
        super().__init__(reason)
        self.review = review


DELETED_BESIDE = (
    "Somebody else deleted it in the meantime: make sure that no other janitor uses a copy of "
    "this registry"
)


class UnsettledError(DriverError):
    """A removal of a committed intent may have worked, wholly or in part: the intent stays.

    `name` is the event's: `torn` where items are gone and the container stands, else `failed`.
    `is_paused` says that a pause came during it: then nothing has failed.
    """

    def __init__(self, message: str, *, name: str = "failed", is_paused: bool = False) -> None:
        super().__init__(message)
        self.name = name
        self.is_paused = is_paused
