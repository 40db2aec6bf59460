"""How tables are laid out: ids whole, lines no wider than the screen, nothing left out."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from janitor.cli.layout import facts, grid, wrapped

ID = "conv_689667905b048191b4740501625afd940c7533ace33a2dab"
OTHER = "cthr_1"
COLUMNS = ("kind", "id", "stages", "policy", "last active", "due", "reason")
ROWS = [
    (
        *("conversation", ID, "archive → delete", "trial-chats"),
        *("2026-01-01 12:22", "2026-02-01 12:22 (archive)", "due"),
    ),
    ("thread", OTHER, "keep", "", "unknown", "2026-03-01 12:22 (next stage)", "kept: unapproved"),
]
WHOLE = frozenset({"id"})

AT_80 = """\
kind          id
  stages         policy       last active       due               reason
conversation  conv_689667905b048191b4740501625afd940c7533ace33a2dab
  archive →      trial-chats  2026-01-01 12:22  2026-02-01 12:22  due
  delete                                        (archive)
thread        cthr_1
  keep                        unknown           2026-03-01 12:22  kept:
                                                (next stage)      unapproved
"""
AT_100 = """\
kind          id
  stages            policy       last active       due                            reason
conversation  conv_689667905b048191b4740501625afd940c7533ace33a2dab
  archive → delete  trial-chats  2026-01-01 12:22  2026-02-01 12:22 (archive)     due
thread        cthr_1
  keep                           unknown           2026-03-01 12:22 (next stage)  kept: unapproved
"""


def test_a_row_takes_two_lines_where_its_id_leaves_too_little_room() -> None:
    assert "\n".join(grid(COLUMNS, lambda: ROWS, 80, WHOLE)) + "\n" == AT_80
    assert "\n".join(grid(COLUMNS, lambda: ROWS, 100, WHOLE)) + "\n" == AT_100


def test_a_row_takes_one_line_where_there_is_room() -> None:
    head, first, second = grid(COLUMNS, lambda: ROWS, 200, WHOLE)
    assert head.split() == ["kind", "id", "stages", "policy", "last", "active", "due", "reason"]
    assert first.split("  ")[1] == ID
    assert second.startswith("thread")


def test_other_columns_give_way_before_a_row_takes_two_lines() -> None:
    rows = [(ID, "the server did not answer in time, and is asked again")]
    assert list(grid(("id", "last_error"), lambda: rows, 80, WHOLE)) == [
        f"id{' ' * 53}last_error",
        f"{ID}  the server did not answer",
        f"{' ' * 55}in time, and is asked",
        f"{' ' * 55}again",
    ]


def test_a_time_is_never_broken() -> None:
    assert wrapped("seen 2026-01-01 12:22:00", 20) == ["seen", "2026-01-01 12:22:00"]


def test_a_long_value_stands_below_its_name_and_a_path_is_broken_at_its_slashes() -> None:
    path = f"main/conversation/2026-10/{ID}.0123456789ab.jsonl.zst"
    assert facts([("id", ID), ("archive", path), ("policy", "")], 80) == [
        f"id       {ID}",
        "archive",
        "  main/conversation/2026-10/",
        f"  {ID}.0123456789ab.jsonl.zst",
        "policy",
    ]


WORDS = st.text(alphabet="abc-_→你", min_size=1, max_size=20)
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)
IDS = st.from_regex(r"[a-z]{4}_[0-9a-f]{1,50}", fullmatch=True)
WIDTHS = st.integers(60, 220)


@given(st.lists(st.tuples(TEXTS, IDS, TEXTS, TEXTS, st.just("2026-01-01 12:22"))), WIDTHS)
def test_no_line_is_too_wide_each_id_is_whole_and_nothing_is_lost(
    rows: list[tuple[str, str, str, str, str]], width: int
) -> None:
    columns = ("project", "id", "policy", "metadata", "due")
    lines = list(grid(columns, lambda: rows, width, WHOLE))
    assert max(map(cell_len, lines)) <= width
    words = [word for line in lines for word in line.split()]
    for row in rows:
        assert row[1] in words
    assert words.count("2026-01-01") == words.count("12:22") == len(rows)
    assert sorted("".join(words)) == sorted("projectidpolicymetadatadue" + squeezed(rows))


@given(st.lists(st.tuples(WORDS, TEXTS), min_size=1), WIDTHS)
def test_no_fact_is_too_wide_and_none_is_lost(rows: list[tuple[str, str]], width: int) -> None:
    lines = facts(rows, width)
    assert max(map(cell_len, lines)) <= width
    assert sorted("".join(lines).replace(" ", "")) == sorted(squeezed(rows))


@given(st.lists(st.tuples(TEXTS, IDS), min_size=1), WIDTHS)
def test_colour_moves_nothing(rows: list[tuple[str, str]], width: int) -> None:
    plain = list(grid(("state", "id"), lambda: rows, width, WHOLE))
    colored = grid(
        ("state", "id"),
        lambda: rows,
        width,
        WHOLE,
        lambda name, text: f"<{text}>" if name == "state" else text,
    )
    assert [line.replace("<", "").replace(">", "").rstrip() for line in colored] == plain


def squeezed(rows: Sequence[tuple[str, ...]]) -> str:
    """What cells say, without their spaces."""
    return "".join(cell.replace(" ", "") for row in rows for cell in row)
