"""Pages that follow a cursor, as every list of the API sends them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from janitor.emulator.errors import Json, invalid
from janitor.emulator.limits import ascending, page_size


def page(
    ids: Sequence[str],
    query: Mapping[str, str],
    show: Callable[[str], Json],
    *,
    least: int = 1,
) -> Json:
    """One page of `ids`, given oldest first; only the objects on it are shown.

    `first_id` and `last_id` are null on an empty page.
    """
    size = page_size(query, least)
    ordered = list(ids) if ascending(query) else list(reversed(ids))
    start, end = _bounds(ordered, query)
    if "before" in query and "after" not in query:
        start = max(start, end - size)
    shown = ordered[start : min(end, start + size)]
    return {
        "object": "list",
        "data": [show(one) for one in shown],
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
        "has_more": _more(query, start, end, size),
    }


def _bounds(ordered: list[str], query: Mapping[str, str]) -> tuple[int, int]:
    start = _place(ordered, query, "after")
    end = _place(ordered, query, "before")
    return (0 if start is None else start + 1), (len(ordered) if end is None else end)


def _place(ordered: list[str], query: Mapping[str, str], name: str) -> int | None:
    if not (cursor := query.get(name)):
        return None
    if cursor not in ordered:
        raise invalid(f"Invalid '{name}': no object with id '{cursor}'.", param=name)
    return ordered.index(cursor)


def _more(query: Mapping[str, str], start: int, end: int, size: int) -> bool:
    """Whether there is more in the direction of the walk."""
    backwards = "before" in query and "after" not in query
    return start > 0 if backwards else start + size < end
