from __future__ import annotations

from operated import operated

__all__ = ["operated"]
