"""Golden cases: a row that is gone from the application's own table, from which 30 days count."""

from __future__ import annotations

from functools import partial

from policy_facts import Row, archive, at, delete, lifetime, metadata, soft, thread
from policy_rules import COPY, EXCEPT, FULL, HOLD, KEPT, LAST, LAW, LEGAL, NEVER, REST, SLOW, UNDO

from janitor.model import State
from janitor.policy import Policy
from janitor.policy.rules import AgeFrom

GONE = "sources.on_vanish"
YEAR = Policy("year", metadata(plan="trial"), delete=delete(365))
LATE = Policy("late", metadata(plan="trial"), archive=archive(300))
MARKED = Policy("marked", metadata(plan="trial"), soft_delete=soft(200))
BIRTH = Policy("birth", metadata(plan="trial"), age_from=AgeFrom.CREATED, delete=delete(2000))
BORN = Policy("born", metadata(plan="trial"), age_from=AgeFrom.CREATED, delete=delete(99))
PINNED = {"plan": "trial", "pinned": "true"}
RowOf = partial(Row, expire=30)

DATES = [
    RowOf("vanished", (YEAR,), thread(40, vanished=29), "", "not_due", GONE, 1, 1),
    RowOf("vanished 30 days ago", (YEAR,), thread(40, vanished=30), "delete", None, GONE, 0),
    RowOf("vanished, under a default", (REST,), thread(40, vanished=30), "delete", None, GONE, 0),
    RowOf("the policy is earlier", (SLOW,), thread(50, vanished=5), "", "not_due", "slow", 10, 10),
    RowOf("vanished and unmatched", (), thread(40, vanished=29), "", "unmatched", GONE, 1, 1),
    RowOf("unmatched, and expired", (), thread(40, vanished=30), "delete", None, GONE, 0),
    RowOf("vanished, and excepted", (EXCEPT,), thread(40, vanished=30, reported=PINNED), "delete"),
    Row("vanished from a source that keeps", (YEAR,), thread(40, vanished=99), "", "not_due"),
    RowOf("still there", (YEAR,), thread(40), "", "not_due", "year", 325, 325),
    RowOf("used after it vanished", (YEAR,), thread(9, vanished=99), "", "not_due", GONE, 21, 21),
    RowOf("used long after it vanished", (YEAR,), thread(31, vanished=99), "delete", due=-1),
]

STAGED = [
    RowOf("an expiry copies first", (COPY,), thread(1, vanished=30), "", "not_due", "copy", 6, 6),
    RowOf("expired, not yet copied", (FULL,), thread(40, vanished=30), "archive soft_delete"),
    RowOf("a late copy falls due with it", (LATE,), thread(40, vanished=30), "archive delete"),
    RowOf("copied already by its policy", (KEPT,), thread(40, vanished=40), "archive delete"),
    RowOf(
        "expired and copied", (COPY,), thread(40, vanished=30, copied=True), "delete", None, GONE
    ),
    RowOf(
        "the mark comes with the expiry",
        (MARKED,),
        thread(40, vanished=30),
        "soft_delete",
        None,
        GONE,
        0,
    ),
    RowOf(
        "marked by the expiry: the undo window is kept",
        (UNDO,),
        thread(40, vanished=33, marked=3, state=State.SOFT_DELETED),
        "",
        "not_due",
        due=7,
    ),
    RowOf(
        "the undo window of an expiry is over",
        (UNDO,),
        thread(40, vanished=40, marked=10, state=State.SOFT_DELETED),
        "delete",
        due=0,
    ),
    RowOf(
        "marked, where no policy deletes",
        (MARKED,),
        thread(40, vanished=31, marked=0.5, state=State.SOFT_DELETED),
        "",
        "not_due",
        GONE,
        0.5,
    ),
]

KEEPS = [
    RowOf("a hold on a vanished one", (YEAR,), thread(40, vanished=99), "", "hold", holds=(HOLD,)),
    RowOf("a hold, unmatched", (), thread(40, vanished=99), "", "hold", holds=(HOLD,)),
    RowOf(
        "vanished, kept forever",
        (LAW, YEAR),
        thread(40, vanished=99, reported=LEGAL),
        "",
        "keep_forever",
        "law",
    ),
    RowOf(
        "vanished, delete: never", (NEVER,), thread(40, vanished=99), "", "keep_forever", due=None
    ),
    RowOf(
        "vanished, never deleted, not marked for it",
        (NEVER, MARKED),
        thread(40, vanished=99),
        "",
        "not_due",
        "marked",
        160,
    ),
    RowOf(
        "vanished, one of the last",
        (LAST,),
        thread(
            9,
            vanished=9,
        ),
        "",
        "keep_last",
        ranks={"last": 0},
    ),
    RowOf(
        "vanished, no more one of the last",
        (LAST,),
        thread(9, vanished=99),
        "",
        "not_due",
        "last",
        21,
        ranks={"last": 2},
    ),
    RowOf(
        "vanished, kept until", (YEAR,), thread(40, vanished=99, keep_until=at(9)), "", "keep_until"
    ),
    RowOf(
        "vanished, unmatched, kept until",
        (),
        thread(40, vanished=99, keep_until=at(9)),
        "",
        "keep_until",
        GONE,
        9,
        9,
    ),
    RowOf(
        "vanished under the floor",
        (YEAR,),
        thread(31, 31, vanished=31),
        "",
        "lifetime_min",
        GONE,
        9,
        life=lifetime(40),
    ),
    RowOf(
        "vanished, the floor on an unknown creation",
        (YEAR,),
        thread(40, None, vanished=99),
        "",
        "lifetime_min",
        life=lifetime(1),
    ),
    RowOf(
        "vanished, never read",
        (LAW,),
        thread(40, vanished=99, reported=None),
        "",
        "unknown_metadata",
        "law",
    ),
    RowOf(
        "vanished, created in the future",
        (),
        thread(40, -5, vanished=99),
        "",
        "future_dated",
        GONE,
        5,
    ),
    RowOf("vanished, active in the future", (YEAR,), thread(-5, vanished=99), "", "future_dated"),
    RowOf("vanished, spared", (), thread(40, vanished=99, spared=at(2)), "", "released", GONE, 2),
]

UNKNOWN = [
    RowOf(
        "vanished, activity unknown",
        (),
        thread(None, vanished=99),
        "",
        "unknown_activity",
        GONE,
        None,
        1,
    ),
    RowOf(
        "vanished, activity unknown, not yet due by birth",
        (BIRTH,),
        thread(None, vanished=99),
        "",
        "unknown_activity",
        GONE,
        1000,
        1,
    ),
    RowOf(
        "vanished, activity unknown, due by birth",
        (BORN,),
        thread(None, vanished=9),
        "delete",
        None,
        "born",
    ),
    RowOf(
        "vanished, activity of a policy unknown",
        (YEAR,),
        thread(None, vanished=99),
        "",
        "unknown_activity",
        "year",
    ),
    RowOf(
        "vanished, at the ceiling",
        (YEAR,),
        thread(9, 50, vanished=9),
        "delete",
        None,
        "lifetime.max",
        life=lifetime(most=50),
    ),
    RowOf(
        "vanished long before the ceiling",
        (YEAR,),
        thread(40, 50, vanished=31),
        "delete",
        None,
        GONE,
        life=lifetime(most=500),
    ),
]

VANISHED = [*DATES, *STAGED, *KEEPS, *UNKNOWN]
