"""Whether an answer says what it must; pure. Everything here raises `RefusedError` if not."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from janitor.errors import IncompleteError, RefusedError
from janitor.texts import is_text
from janitor.times import of_second

Body = dict[str, Any]

SHORT = 1000
"""Characters of what is held on to: ids, states."""
LIVING = frozenset({"created_at", "metadata", "data"})
"""Fields of a container or a list: an answer that shows one is no deletion."""


class ContradictionError(ValueError):
    """JSON that two readers may understand differently; the message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; every item has a string of 1 to `SHORT` characters as id."""

    items: list[Body]
    has_more: bool
    last_id: str | None


def read_json(content: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """What a body says: one JSON document in UTF-8 that every reader understands alike.

    Raises `ValueError`; `ContradictionError` where an object has a key twice, at any depth, or a
    number cannot be copied exactly.
    """
    try:
        return json.loads(
            content.decode(),
            object_pairs_hook=_once,
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_narrow,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> Body:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ContradictionError("a key stands twice in one object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that JSON does not have")
    return number


def _narrow(text: str) -> int:
    number = int(text)
    if not -(1 << 63) <= number < 1 << 64:
        raise ContradictionError("a number too wide to be copied exactly")
    return number


def check_container(
    body: Body,
    object: str,
    id: str,
    subject: str,
    *,
    tells_error: bool = False,
    is_listed: bool = False,
) -> None:
    """The answer is this very container, dated, and says nothing of an error or a deletion.

    `tells_error`: containers of the kind have a text `error`, which says how they ended. Of one
    that `is_listed` the date is read by whoever reads the list.
    """
    if body.get("object") != object or body.get("id") != id:
        raise RefusedError(f"{subject}: the server answered something else; kept")
    if not (tells_error and isinstance(body.get("error"), str)):
        check_no_error(body, subject)
    if _is_called_deleted(body):
        raise RefusedError(f"{subject}: the server shows it and calls it deleted; kept")
    if not is_listed:
        read_moment(body, "created_at", subject)


def check_deleted(body: Body, object: str, id: str, subject: str) -> None:
    """The answer is the API's deletion of an `object`, and says that this very id was deleted.

    A server that sends no `object` is believed; one that names another, or shows the container
    or an error beside it, is not.
    """
    if body.get("deleted") is not True or body.get("id") != id:
        raise RefusedError(f"{subject}: the server did not say that it deleted it; taken as kept")
    check_no_error(body, subject)
    if body.get("object") not in (None, f"{object}.deleted") or LIVING & body.keys():
        raise RefusedError(
            f"{subject}: the server says that it deleted something else; taken as kept"
        )


def check_item(body: Body, item_id: str, subject: str) -> None:
    """The answer is this very item."""
    if body.get("id") != item_id or _is_called_deleted(body):
        raise RefusedError(f"{subject}: the server answered something else; kept")
    check_no_error(body, subject)


def _is_called_deleted(body: Body) -> bool:
    return body.get("deleted") is not None and body["deleted"] is not False


def check_no_error(body: Body, subject: str) -> None:
    """The answer has no error in it, nor several, whatever its status says."""
    if body.get("error") is not None or body.get("errors"):
        raise RefusedError(f"{subject}: the server answered a success and an error in one; kept")


def read_moment(body: Body, field: str, subject: str) -> datetime | None:
    """A time in whole Unix seconds; `None` where it was never set, as a 0 says."""
    value = body.get(field)
    try:
        if type(value) is int:
            return of_second(value)
    except ValueError:
        pass
    raise RefusedError(f"{subject}: {field} is not a time in Unix seconds; kept")


def facts(body: Body, *fields: str) -> Body:
    """Those fields of a body that are short, without the rest of it; an empty text for others."""
    return {field: body[field] if _is_short(body[field]) else "" for field in fields & body.keys()}


def _is_short(value: object) -> bool:
    return type(value) is int or value is None or (isinstance(value, str) and len(value) <= SHORT)


def read_page(body: Body, subject: str) -> Page:
    """A page whose list, ids and `has_more` are what the API promises."""
    items, has_more, last_id = (body.get(field) for field in ("data", "has_more", "last_id"))
    check_no_error(body, subject)
    is_list = body.get("object", "list") == "list" and not _is_called_deleted(body)
    if not is_list or not isinstance(items, list):
        raise RefusedError(f"{subject}: the server answered something else than a list; kept")
    if not isinstance(has_more, bool):
        raise RefusedError(f"{subject}: a list that does not say whether it ends; incomplete, kept")
    if not all(isinstance(item, dict) and _is_name(item.get("id")) for item in items):
        raise RefusedError(
            f"{subject}: a list with an item that has no id, or one over {SHORT} characters; "
            "incomplete, kept"
        )
    if has_more and not items:
        raise IncompleteError(
            f"{subject}: the server's list never ends: an empty page says that more follows; kept"
        )
    return Page(items, has_more, last_id if _is_name(last_id) else None)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= SHORT and is_text(value)
