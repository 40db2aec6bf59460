"""Reasons to abandon a stage: the thread changed, or the outcome of the call is unknown."""

from __future__ import annotations

from janitor.engine.review import Review
from janitor.errors import DriverError


class ChangedError(Exception):
    """The thread has changed since the decision; it is kept, for the reason given.

    `review` is the look that found the change. Record it: anything new that it saw is activity.
    """

    def __init__(self, reason: str, *, review: Review | None = None) -> None:
        super().__init__(reason)
        self.review = review


DELETED_BESIDE = (
    "Somebody else deleted it in the meantime: make sure that no other janitor uses a copy of "
    "this registry"
)


class UnsettledError(DriverError):
    """A removal may have worked, wholly or in part; its committed intent stays.

    `name` is that of the event: `torn` if items are gone and the container still exists, else
    `failed`. `is_paused` means that a pause interrupted it, so that nothing has failed.
    """

    def __init__(self, message: str, *, name: str = "failed", is_paused: bool = False) -> None:
        super().__init__(message)
        self.name = name
        self.is_paused = is_paused
