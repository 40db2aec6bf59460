"""Whether an answer says what it must; pure. Everything here raises `RefusedError` if not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from janitor.errors import RefusedError
from janitor.times import of_second

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; every item has a non-empty string as id."""

    items: list[Body]
    has_more: bool
    last_id: str | None


def check_container(body: Body, object: str, id: str, subject: str) -> None:
    """The answer is this very container, and says when it was created."""
    if body.get("object") != object or body.get("id") != id:
        raise RefusedError(f"{subject}: the server answered something else; kept")
    read_moment(body, "created_at", subject)


def check_deleted(body: Body, id: str, subject: str) -> None:
    """The answer says that this very id was deleted."""
    if body.get("deleted") is not True or body.get("id") != id:
        raise RefusedError(f"{subject}: the server did not say that it deleted it; taken as kept")


def read_moment(body: Body, field: str, subject: str) -> datetime | None:
    """A time in whole Unix seconds; `None` where it was never set, as a 0 says."""
    value = body.get(field)
    try:
        if type(value) is int:
            return of_second(value)
    except ValueError:
        pass
    raise RefusedError(f"{subject}: {field} is not a time in Unix seconds; kept")


def read_page(body: Body, subject: str) -> Page:
    """A page whose list, ids and `has_more` are what the API promises."""
    items, has_more, last_id = (body.get(field) for field in ("data", "has_more", "last_id"))
    if body.get("object", "list") != "list" or not isinstance(items, list):
        raise RefusedError(f"{subject}: the server answered something else than a list; kept")
    if not isinstance(has_more, bool):
        raise RefusedError(f"{subject}: a list that does not say whether it ends; incomplete, kept")
    if not all(isinstance(item, dict) and _is_name(item.get("id")) for item in items):
        raise RefusedError(f"{subject}: a list with an item that has no id; incomplete, kept")
    return Page(items, has_more, last_id if _is_name(last_id) else None)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != "" and is_text(value)


def is_text(value: str) -> bool:
    """Whether a string can be stored and sent: half of a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in value)
