"""No renaming reaches a name that is stored somewhere, or that somebody else's program reads."""

from __future__ import annotations

from difflib import unified_diff

from written.persisted import text
from written.writings import FIXTURES


def test_every_persisted_name_is_what_it_was() -> None:
    """Generated anew by what `persisted.py` says at its top, once a difference is meant."""
    listed = (FIXTURES / "persisted.txt").read_text(encoding="utf-8").splitlines()
    difference = list(
        unified_diff(listed, text().splitlines(), "listed", "found", n=0, lineterm="")
    )
    assert difference == [], "\n".join(difference)
