from __future__ import annotations

from fleet import replicas
from world import world

__all__ = ["replicas", "world"]
