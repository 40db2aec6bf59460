"""The retention daemon for OpenAI conversation state."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from janitor.tracking import track

__all__ = ["track"]


def __getattr__(name: str) -> object:
    """`janitor.track` on its first use: the program itself imports nothing of it."""
    if name == "track":
        from janitor.tracking import track  # noqa: PLC0415

        return track
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
