"""The vendor's SDK, which is imported as late as possible."""

from __future__ import annotations

import asyncio
from importlib import import_module


async def load_sdk() -> None:
    """Import the SDK beside the event loop: it takes a second, and a look would age meanwhile."""
    await asyncio.to_thread(import_module, "openai")
