"""Numbers in messages, as a person says them."""

from __future__ import annotations

import pytest

from janitor.texts import counted, percent


@pytest.mark.parametrize(
    ("number", "one", "more", "said"),
    [
        (0, "thread", None, "0 threads"),
        (1, "thread", None, "1 thread"),
        (2, "thread", None, "2 threads"),
        (1, "copy is", "copies are", "1 copy is"),
        (3, "copy is", "copies are", "3 copies are"),
    ],
)
def test_a_number_with_its_noun(number: int, one: str, more: str | None, said: str) -> None:
    assert counted(number, one, more) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.25, "0.25 %"), (5, "5 %"), (6.6667, "6.67 %"), (100, "100 %"), (4800, "4,800 %")],
)
def test_a_share(share: float, said: str) -> None:
    assert percent(share) == said
