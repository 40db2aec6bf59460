"""Drawn policies, threads and holds over a domain so small that rules meet threads often."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from hypothesis import strategies as st
from policy_facts import NOW, days

from janitor.model import LIVE, Hold, Key, Kind, Metadata, State, Thread
from janitor.policy import Policies, Policy, Ranks
from janitor.policy.rules import (
    AgeFrom,
    ArchiveAt,
    ArchiveRule,
    Delete,
    KeepLast,
    Lifetime,
    Selector,
    SoftDelete,
    Test,
    Trim,
)

NAMES = ("a", "b", "c", "d")
KEYS = st.sampled_from(("plan", "tier"))
VALUES = st.sampled_from(("x", "y"))
ages = st.integers(1, 12).map(lambda number: days(number / 4))
metadata = st.dictionaries(KEYS, VALUES, max_size=2)
tests = st.one_of(
    st.frozensets(VALUES, min_size=1).map(lambda values: Test(any_of=values)),
    st.booleans().map(lambda exists: Test(exists=exists)),
    st.sampled_from(("*", "x*", "?")).map(lambda glob: Test(glob=glob)),
)
kinds = st.none() | st.frozensets(st.sampled_from((Kind.CONVERSATION, Kind.CHATKIT_THREAD)))
plain_selectors = st.builds(Selector, kinds, metadata=st.dictionaries(KEYS, tests, max_size=2))
selectors = plain_selectors | st.builds(
    Selector,
    kinds,
    metadata=st.dictionaries(KEYS, tests, max_size=1),
    any_of=st.lists(plain_selectors, max_size=3).map(tuple),
)
NO_EXPIRY: Mapping[str, timedelta] = {}
EXPIRY: Mapping[str, timedelta] = {"chats": days(0.75)}
moments = st.integers(-16, 4).map(lambda number: NOW + days(number / 4))


@st.composite
def a_policy(draw: st.DrawFn, name: str, *, default: bool = False) -> Policy:
    """A policy whose stages come in order, as the file's refusals make sure."""
    first, second, third = sorted(draw(st.tuples(ages, ages, ages)))
    items = draw(st.none() | st.integers(1, 3))
    archived = st.builds(
        ArchiveRule,
        after=st.just(first) if items is None else st.none() | st.just(first),
        items=st.just(items),
        keep_for=st.none() | ages,
        at=st.sampled_from((ArchiveAt.LATEST, ArchiveAt.LATEST, ArchiveAt.EARLIEST)),
    )
    return Policy(
        name,
        match=draw(st.just(Selector()) | selectors),
        excepts=draw(st.none() | selectors),
        default=default,
        beside_default=not default and draw(st.sampled_from((False, False, True))),
        keep_forever=draw(st.sampled_from((False, False, False, True))),
        age_from=draw(st.sampled_from(AgeFrom)),
        archive=draw(st.none() | archived),
        soft_delete=draw(st.none() | st.just(SoftDelete(second))),
        delete=draw(st.none() | st.just(Delete(third)) | st.sampled_from([Delete(None)])),
        trim=draw(st.none() | st.builds(Trim, st.integers(1, 3), st.none() | ages)),
        keep_last=draw(
            st.none() | st.builds(KeepLast, st.just(2), st.sampled_from((None, "plan")))
        ),
    )


@st.composite
def some_policies(draw: st.DrawFn) -> Policies:
    rules = [
        draw(a_policy(name)) for name in sorted(draw(st.sets(st.sampled_from(NAMES), max_size=3)))
    ]
    if draw(st.booleans()):
        rules.append(draw(a_policy("rest", default=True)))
    life = st.builds(
        Lifetime,
        min=st.none() | st.just(days(0.5)),
        max=st.none() | st.just(days(3)),
    )
    expire = draw(st.sampled_from((NO_EXPIRY, EXPIRY)))
    return Policies(tuple(rules), lifetime=draw(life), expire=expire)


@st.composite
def a_thread(draw: st.DrawFn) -> Thread:
    state = draw(st.sampled_from(sorted(LIVE - {State.DELETING})))
    sides: st.SearchStrategy[Metadata | None] = st.none() | metadata
    return Thread(
        Key("main", draw(st.sampled_from((Kind.CONVERSATION, Kind.CHATKIT_THREAD))), "t"),
        state=state,
        created_at=draw(st.none() | moments),
        last_active_at=draw(st.none() | moments),
        items=draw(st.none() | st.integers(0, 4)),
        reported=draw(sides),
        upstream=draw(sides),
        keep_until=draw(st.none() | st.none() | moments),
        soft_deleted_at=draw(moments) if state is State.SOFT_DELETED else None,
        copy_is_current=draw(st.booleans()),
        grace_until=draw(st.none() | st.none() | moments),
        source="chats",
        vanished_at=draw(st.none() | moments),
    )


some_holds = st.lists(
    st.builds(
        Hold,
        name=st.sampled_from(("h", "i")),
        ids=st.sampled_from((frozenset[str](), frozenset({"t"}))),
        metadata=metadata,
        until=st.none() | moments,
        released_at=st.none() | moments.map(lambda at: at - timedelta(days=6)),
    ),
    max_size=1,
).map(tuple)
some_ranks: st.SearchStrategy[Ranks] = st.dictionaries(
    st.sampled_from((*NAMES, "rest")), st.integers(0, 3)
)
walks: st.SearchStrategy[list[datetime]] = st.lists(
    st.integers(0, 64).map(lambda number: NOW + days(number / 4)), min_size=1, max_size=8
)
