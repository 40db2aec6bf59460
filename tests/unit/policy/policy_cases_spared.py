"""Golden cases: what an edit of its metadata took from a protection, and keeps for a grace."""

from __future__ import annotations

from policy_facts import Row, at, lifetime, thread
from policy_rules import COPY, PLAIN

SPARED = [
    Row("spared", (PLAIN,), thread(99, spared=at(2)), "", "released", "plain", 2, 2),
    Row("spared until now", (PLAIN,), thread(99, spared=at(0)), "delete", None, "plain"),
    Row("spared in vain", (PLAIN,), thread(1, spared=at(2)), "", "released", "plain", review=2),
    Row(
        "what is spared is copied", (COPY,), thread(99, spared=at(2)), "archive", "released", "copy"
    ),
    Row("unmatched, not spared", (), thread(99, spared=at(2)), "", "unmatched", None, None, None),
    Row(
        "spared beyond the ceiling",
        (PLAIN,),
        thread(99, created=99, spared=at(2)),
        "",
        "released",
        life=lifetime(most=50),
        due=2,
    ),
]
