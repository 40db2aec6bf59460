from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.emulator.errors import ApiError, Json
from janitor.emulator.pages import page

IDS = st.lists(st.integers(0, 10_000).map(str), unique=True, max_size=250)
LIMITS = st.integers(1, 100)
ORDERS = st.sampled_from(["asc", "desc"])


def show(id: str) -> Json:
    return {"id": id}


def walk(ids: list[str], query: dict[str, str]) -> list[Json]:
    pages = [page(ids, query, show)]
    while pages[-1]["has_more"]:
        pages.append(page(ids, {**query, "after": pages[-1]["last_id"]}, show))
    return pages


@given(ids=IDS, limit=LIMITS, order=ORDERS)
def test_a_walk_gives_every_id_once_and_in_order(ids: list[str], limit: int, order: str) -> None:
    pages = walk(ids, {"limit": str(limit), "order": order})
    seen = [item["id"] for one in pages for item in one["data"]]
    assert seen == (ids if order == "asc" else ids[::-1])
    assert all(len(one["data"]) == limit for one in pages[:-1])


@given(ids=IDS.filter(bool), limit=LIMITS, order=ORDERS)
def test_a_page_names_its_own_ends(ids: list[str], limit: int, order: str) -> None:
    one = page(ids, {"limit": str(limit), "order": order}, show)
    assert (one["first_id"], one["last_id"]) == (one["data"][0]["id"], one["data"][-1]["id"])


@given(ids=IDS.filter(lambda ids: len(ids) > 1), limit=LIMITS, data=st.data())
def test_before_gives_the_page_that_ends_there(
    ids: list[str], limit: int, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(ids) - 1))
    query = {"limit": str(limit), "order": "asc", "before": ids[place]}
    one = page(ids, query, show)
    assert [item["id"] for item in one["data"]] == ids[max(0, place - limit) : place]
    assert one["has_more"] is (place > limit)


def test_an_empty_page_has_no_ends() -> None:
    assert page([], {}, show) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_twenty_are_on_a_page_newest_first_unless_said() -> None:
    ids = [str(n) for n in range(30)]
    assert [item["id"] for item in page(ids, {}, show)["data"]] == ids[:9:-1]


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ({"limit": "0"}, "limit", "integer_below_min_value"),
        ({"limit": "101"}, "limit", "integer_above_max_value"),
        ({"limit": "many"}, "limit", "invalid_type"),
        ({"order": "random"}, "order", "invalid_value"),
        ({"after": "unknown"}, "after", None),
        ({"before": "unknown"}, "before", None),
    ],
)
def test_an_odd_page_is_refused(query: dict[str, str], param: str, code: str | None) -> None:
    with pytest.raises(ApiError) as refused:
        page(["a"], query, show)
    assert (refused.value.status, refused.value.param, refused.value.code) == (400, param, code)
