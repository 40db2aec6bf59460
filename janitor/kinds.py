"""The kinds of container and what the API offers for each, all in this one place.

To add a kind, add a member of `Kind` and its entry here, and write `drivers/<kind>.py` and
`emulator/<kind>.py`. Source: the vendor's API description and SDK 3.57.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

ID = re.compile(r"[A-Za-z0-9._:-]{1,200}")

METADATA_PAIRS = 16
METADATA_KEY_LENGTH = 64
METADATA_VALUE_LENGTH = 512
PAGE = 100


class Kind(StrEnum):
    """A sort of conversation container."""

    CONVERSATION = "conversation"
    CHATKIT_THREAD = "chatkit_thread"
    AGENT_SESSION = "agent_session"
    THREAD = "thread"


@dataclass(frozen=True, slots=True)
class BodyCall:
    """A POST about a container that its bodies name, but its path does not.

    `path` is below the base URL; `request` and `reply` are the fields that hold the container, or
    its id.
    """

    path: str
    request: str
    reply: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    """When the hosts whose names end in one of `hosts` stop serving an API."""

    api: str
    at: datetime
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trait:
    """What the API offers for a kind.

    `noun` is the `object` of a container, and `beta` the `OpenAI-Beta` header that its calls need.
    `prefixes` are the id prefixes that identify the kind. `volatile` are top-level fields that
    change without activity: the canonical digest leaves them out.
    `item_delete_returns_container` says that the reply to an item's deletion is the container: it
    says nothing about the item, so a listing must prove that it is gone. `created_by` creates a
    container and `used_by` writes to one, both outside the kind's own paths. `column_names` are
    the columns that usually hold its ids in an application's tables, the likeliest first.
    """

    path: str
    items_path: str
    noun: str
    prefixes: tuple[str, ...]
    has_metadata: bool
    has_activity: bool
    items_deletable: bool
    items_first: bool
    listable: bool
    column_names: tuple[str, ...]
    beta: str | None = None
    volatile: frozenset[str] = frozenset()
    item_delete_returns_container: bool = False
    created_by: BodyCall | None = None
    used_by: BodyCall | None = None
    shutdown: Shutdown | None = None


# If nothing else tells two columns of ids apart, the kind that comes first here is proposed.
CATALOGUE: Mapping[Kind, Trait] = MappingProxyType(
    {
        Kind.CONVERSATION: Trait(
            path="/conversations",
            items_path="items",
            noun="conversation",
            prefixes=("conv_",),
            has_metadata=True,
            has_activity=False,
            items_deletable=True,
            items_first=True,
            listable=False,
            column_names=("conversation_id", "openai_conversation_id"),
            item_delete_returns_container=True,
            used_by=BodyCall("/responses", request="conversation", reply="conversation"),
        ),
        Kind.THREAD: Trait(
            path="/threads",
            items_path="messages",
            noun="thread",
            prefixes=("thread_",),
            has_metadata=True,
            has_activity=True,
            items_deletable=True,
            items_first=False,
            listable=False,
            column_names=("thread_id", "openai_thread_id", "assistant_thread_id"),
            beta="assistants=v2",
            created_by=BodyCall("/threads/runs", request="thread", reply="thread_id"),
            shutdown=Shutdown(
                "the Assistants API",
                datetime(2026, 8, 26, tzinfo=UTC),
                ("openai.com", "openai.azure.com"),
            ),
        ),
        Kind.CHATKIT_THREAD: Trait(
            path="/chatkit/threads",
            items_path="items",
            noun="chatkit.thread",
            prefixes=("cthr_",),
            has_metadata=False,
            has_activity=True,
            items_deletable=False,
            items_first=False,
            listable=True,
            column_names=("chatkit_thread_id",),
            beta="chatkit_beta=v1",
            volatile=frozenset({"status", "title"}),
        ),
        Kind.AGENT_SESSION: Trait(
            path="/agents/sessions",
            items_path="items",
            noun="agent.session",
            prefixes=(),  # the API documents no prefix for session ids
            has_metadata=True,
            has_activity=True,
            items_deletable=False,
            items_first=False,
            listable=True,
            column_names=("agent_session_id", "session_id"),
            beta="agents=v1",
            volatile=frozenset(
                {"last_active_at", "status", "usage", "spend_control", "environment"}
            ),
        ),
    }
)


PREFIXES = {kind: trait.prefixes for kind, trait in CATALOGUE.items() if trait.prefixes}


def kind_of(id: str) -> Kind | None:
    """The kind that an id's prefix identifies, or `None` if no prefix or more than one fits."""
    found = [kind for kind, prefixes in PREFIXES.items() if id.startswith(prefixes)]
    return found[0] if len(found) == 1 else None


@lru_cache(4096)  # a page of a file, of which each id is checked where it is read and entered
def is_id(id: str) -> bool:
    """Whether an id is accepted: `[A-Za-z0-9._:-]{1,200}`, and not dots alone (`.`, `..`)."""
    return ID.fullmatch(id) is not None and id.strip(".") != ""
