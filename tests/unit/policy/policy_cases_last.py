"""Golden cases: the last ones of a group."""

from __future__ import annotations

from policy_facts import Row, at, marked_thread, thread
from policy_rules import COPY, LAST, PER, PLAIN

from janitor.model import Hold, State
from janitor.policy import Policy
from janitor.policy.rules import KeepLast

LAST_ONES = [
    Row("among the last", (LAST,), thread(99), "", "keep_last", "last", None, 1, ranks={"last": 1}),
    Row("not among the last", (LAST,), thread(99), "delete", None, "last", ranks={"last": 2}),
    Row("an unknown rank", (LAST,), thread(99), "", "keep_last", "last", None, 1),
    Row(
        "keep_last of unknown activity",
        (Policy("l", keep_last=KeepLast(2)),),
        thread(None),
        "",
        "unknown_activity",
        "l",
        None,
        1,
    ),
    Row(
        "keep_last still copies",
        (LAST, COPY),
        thread(99),
        "archive",
        "keep_last",
        "copy",
        ranks={"last": 0},
    ),
    Row(
        "keep_last before age",
        (LAST,),
        thread(1),
        "",
        "keep_last",
        "last",
        None,
        1,
        ranks={"last": 0},
    ),
    Row(
        "keep_last binds other policies",
        (LAST, PLAIN),
        thread(99),
        "",
        "keep_last",
        "last",
        ranks={"last": 0},
    ),
    Row("a marked one has left its group", (LAST,), marked_thread(99, 2), "delete", None, "last"),
    Row(
        "a marked one that still ranks",
        (LAST,),
        marked_thread(99, 2),
        "",
        "keep_last",
        ranks={"last": 0},
    ),
    Row("a revived one is in its group", (LAST,), marked_thread(40, 50), "", "keep_last"),
    Row("a marked one without the group key", (PER,), marked_thread(99, 2), "", "keep_last", "per"),
    Row("no group key, but a rank", (PER,), thread(99), "delete", ranks={"per": 2}),
    Row(
        "a marked one with the group key",
        (PER,),
        thread(99, marked=2, state=State.SOFT_DELETED, reported={"plan": "trial", "user": "ada"}),
        "delete",
    ),
    Row(
        "a hold ends as its time is reached",
        (PLAIN,),
        thread(1),
        "",
        "not_due",
        holds=(Hold("until", ids=frozenset({"t"}), until=at(0)),),
    ),
]
