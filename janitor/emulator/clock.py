"""The emulator's time: real until a test sets it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """Tells the time that every `created_at`, `Date` header and log entry takes.

    It runs with the machine's clock; `set` makes it stand still at a moment, `advance` moves it
    on, standing or running.
    """

    def __init__(self, at: datetime | None = None) -> None:
        self._fixed = at
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return (self._fixed or datetime.now(UTC)) + self._ahead

    def set(self, at: datetime) -> None:
        """Stand still at `at`, which must be aware."""
        if at.tzinfo is None:
            msg = f"{at} carries no time zone: give an aware datetime"
            raise ValueError(msg)
        self._fixed, self._ahead = at, timedelta()

    def advance(self, by: timedelta) -> None:
        """Move on by `by`."""
        self._ahead += by
