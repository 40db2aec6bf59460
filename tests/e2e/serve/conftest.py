from __future__ import annotations

from world import world

from serve.serving import serving

__all__ = ["serving", "world"]
