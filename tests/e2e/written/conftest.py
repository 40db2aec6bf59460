from __future__ import annotations

from world import world

__all__ = ["world"]
