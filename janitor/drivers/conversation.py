"""Conversations: no activity of their own, and items that outlive them unless deleted first."""

from __future__ import annotations

from janitor.drivers.containers import ContainerDriver
from janitor.model import Kind


class Driver(ContainerDriver):
    """`client.conversations` in the SDK."""

    kind = Kind.CONVERSATION
    noun = "conversation"
    follows_last_id = True
    answers_item_delete_with_container = True
