"""What a kind is, in one line each. Source: the vendor's API description and SDK 3.52."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from janitor.model import Kind

ID = re.compile(r"[A-Za-z0-9._:-]{1,200}")

METADATA_PAIRS = 16
METADATA_KEY_LENGTH = 64
METADATA_VALUE_LENGTH = 512
PAGE = 100


@dataclass(frozen=True, slots=True)
class Trait:
    """What the API offers for a kind.

    `prefixes` are the id prefixes that name the kind without doubt. `volatile` are top-level
    fields that change without activity: they take no part in the canonical digest.
    """

    path: str
    items_path: str
    prefixes: tuple[str, ...]
    has_metadata: bool
    has_activity: bool
    items_deletable: bool
    items_first: bool
    listable: bool
    volatile: frozenset[str] = frozenset()


CATALOGUE: Mapping[Kind, Trait] = MappingProxyType(
    {
        Kind.CONVERSATION: Trait(
            path="/conversations",
            items_path="items",
            prefixes=("conv_",),
            has_metadata=True,
            has_activity=False,
            items_deletable=True,
            items_first=True,
            listable=False,
        ),
        Kind.CHATKIT_THREAD: Trait(
            path="/chatkit/threads",
            items_path="items",
            prefixes=("cthr_",),
            has_metadata=False,
            has_activity=True,
            items_deletable=False,
            items_first=False,
            listable=True,
            volatile=frozenset({"status", "title"}),
        ),
        Kind.AGENT_SESSION: Trait(
            path="/agents/sessions",
            items_path="items",
            prefixes=(),  # the API documents no prefix for session ids
            has_metadata=True,
            has_activity=True,
            items_deletable=False,
            items_first=False,
            listable=True,
            volatile=frozenset(
                {"last_active_at", "status", "usage", "spend_control", "environment"}
            ),
        ),
        Kind.THREAD: Trait(
            path="/threads",
            items_path="messages",
            prefixes=("thread_",),
            has_metadata=True,
            has_activity=True,
            items_deletable=True,
            items_first=False,
            listable=False,
        ),
    }
)


def kind_of(id: str) -> Kind | None:
    """The kind that an id's prefix names, or `None` where no prefix or more than one fits."""
    found = [kind for kind, trait in CATALOGUE.items() if id.startswith(trait.prefixes or ("\0",))]
    return found[0] if len(found) == 1 else None


def is_id(id: str) -> bool:
    """Whether an id may enter: `[A-Za-z0-9._:-]{1,200}`, and neither `.` nor `..`."""
    return ID.fullmatch(id) is not None and id.strip(".") != ""
