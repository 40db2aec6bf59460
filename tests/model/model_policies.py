"""The policies and the metadata that the model plays with; small, so that things meet."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st
from sweep_world import DAY, matching

from janitor.model import Mode
from janitor.policy import Policies
from janitor.policy.rules import (
    AgeFrom,
    ArchiveRule,
    Delete,
    DeletionMark,
    Items,
    KeepLast,
    Lifetime,
    Limits,
    Policy,
    SoftDelete,
)

GRACE = 7 * DAY
STEP = timedelta(hours=6)
METADATA: tuple[dict[str, str], ...] = (
    {"plan": "trial", "user": "a"},
    {"plan": "trial"},
    {},
    {"plan": "trial", "pinned": "yes"},
    {"plan": "legal"},
    {"plan": "pro", "user": "a"},
    {"user": "b"},
)

copies = st.sampled_from(
    [
        None,
        ArchiveRule(after=7 * DAY, keep_for=90 * DAY),
        ArchiveRule(after=DAY, keep_for=None),
        ArchiveRule(items=4, keep_for=90 * DAY),
    ]
)
marks = st.sampled_from([None, SoftDelete(10 * DAY), SoftDelete(20 * DAY, DeletionMark.UPSTREAM)])
removals = st.sampled_from([Delete(30 * DAY), Delete(21 * DAY, Items.KEEP), Delete(60 * DAY)])
limits = Limits(max_percent=100.0, clock_step=STEP, max_missing_percent=100.0)

trial = st.builds(
    Policy,
    st.just("trial"),
    match=st.just(matching(plan="trial")),
    excepts=st.sampled_from([None, matching(pinned="yes")]),
    archive=copies,
    soft_delete=marks,
    delete=removals,
    mode=st.sampled_from([None] * 9 + [Mode.AUDIT]),
)
rest = st.builds(
    Policy,
    st.just("rest"),
    default=st.just(True),
    age_from=st.sampled_from(AgeFrom),
    archive=copies,
    soft_delete=st.none(),
    delete=removals,
)
others = st.lists(
    st.sampled_from(
        [
            Policy("legal", match=matching(plan="legal"), keep_forever=True),
            Policy("pinned", match=matching(pinned="yes"), keep_forever=True),
            Policy("pro", match=matching(plan="pro"), delete=Delete(None)),
            Policy("last", match=matching(plan="trial"), keep_last=KeepLast(2)),
            Policy("each", match=matching(plan="trial"), keep_last=KeepLast(1, "user")),
            Policy("of-a", match=matching(user="a"), delete=Delete(45 * DAY)),
            Policy("copied", match=matching(user="a"), archive=ArchiveRule(2 * DAY, keep_for=None)),
        ]
    ),
    max_size=3,
    unique_by=lambda policy: policy.name,
)


def _assembled(
    trial: Policy, rest: Policy | None, others: list[Policy], mode: Mode, floor: Lifetime
) -> Policies:
    rules = (trial, *others, *([rest] if rest is not None else []))
    return Policies(rules, mode, floor, limits, GRACE)


policies = st.builds(
    _assembled,
    trial,
    st.one_of(rest, rest, st.none()),
    others,
    st.sampled_from([Mode.ENFORCE] * 9 + [Mode.AUDIT]),
    st.sampled_from([Lifetime(), Lifetime(), Lifetime(min=40 * DAY)]),
)
