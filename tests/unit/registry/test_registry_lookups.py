from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from health import SHARED_FIXTURE
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Select, delete, update

from janitor.model import LIVE, SORTABLE, Copy, Key, Kind, State
from janitor.policy.activity import Sightings
from janitor.policy.copy_retention import KeptCopy
from janitor.registry import (
    Cursor,
    Entry,
    Event,
    Intent,
    PrunedCopy,
    Registration,
    Registry,
    Settlement,
    ThreadOrder,
    threads,
)
from janitor.registry.claims import claimable
from janitor.registry.copies import past_statement
from janitor.registry.tables import COUNT, LABEL, THREAD
from janitor.registry.threads import due_statement, rank_statement

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = Key("main", Kind.THREAD, "t")


def steps(registry: Registry, statement: Select[tuple[object, ...]]) -> str:
    """How the engine would run a statement over many rows."""
    engine = registry.store.database.engine
    compiled = statement.compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")
            return "\n".join(str(row[3]) for row in rows)
        # A planner of costs reads a small table as a whole, whatever indexes there are.
        connection.exec_driver_sql("SET enable_seqscan = off")
        connection.exec_driver_sql("SET enable_bitmapscan = off")
        return "\n".join(str(row[0]) for row in connection.exec_driver_sql(f"EXPLAIN {compiled}"))


SORTS = re.compile("TEMP B-TREE|Sort")
SCANS = re.compile("SCAN|Seq Scan")


@pytest.mark.parametrize("after", [None, Cursor(NOW, KEY)])
def test_due_is_served_by_its_index_alone(registry: Registry, after: Cursor | None) -> None:
    plan = steps(registry, due_statement(NOW, after, 10, None))
    assert re.search("(USING INDEX|Index Scan using) ix_thread_review", plan)
    assert not SORTS.search(plan)
    assert not SCANS.search(plan)


def test_claims_are_served_by_the_index_of_what_is_due(registry: Registry) -> None:
    due = due_statement(NOW, None, 10, None).where(claimable("r", NOW))
    plan = steps(registry, due.with_for_update(skip_locked=True))
    assert "ix_thread_review" in plan
    assert not SORTS.search(plan)


@pytest.mark.parametrize("after", [None, KeptCopy(KEY, ("p",), NOW, NOW)])
def test_copies_past_their_date_are_served_by_an_index(
    registry: Registry, after: KeptCopy | None
) -> None:
    plan = steps(registry, past_statement(NOW, after, 10, None))
    assert "ix_thread_prunable" in plan
    assert not SORTS.search(plan)
    assert not SCANS.search(plan)


def test_ranks_are_served_by_an_index(registry: Registry) -> None:
    everybody = steps(registry, rank_statement(None, None, (NOW, KEY)))
    assert "ix_thread_rank" in everybody
    group = steps(registry, rank_statement("user", "u", None))
    assert "ix_label_value" in group
    assert not SCANS.search(group)


@pytest.mark.slow
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("field", SORTABLE)
def test_an_order_has_every_thread_once_over_all_its_pages(
    registry: Registry, field: str, descending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ties and unknown values fall on the borders of pages, too."""
    monkeypatch.setattr(threads, "ORDERED_PAGE", 3)
    at = [NOW - n * DAY for n in (5, 1, 3, 1, 1, 1, 4)]
    known = [
        Registration(Key("main", kind, f"t{n}"), created_at=one, last_active_at=one, metadata=USER)
        for n, one in enumerate(at)
        for kind in (Kind.THREAD, Kind.CONVERSATION)
    ]
    other = Registration(Key("main", Kind.THREAD, "other"), metadata={"user": "v"})
    registry.registrations.add([*known, other], NOW)
    with registry.store.writing() as connection:
        for n in range(5):
            of = THREAD.c.id == f"t{n}"
            late = {
                "due_at": NOW + n % 2 * DAY,
                "review_at": NOW,
                "deleted_at": NOW,
                "items": n % 2,
            }
            connection.execute(update(THREAD).where(of).values(late))
    for metadata in (None, USER):
        listed = list(registry.threads.select(metadata=metadata))
        order = ThreadOrder(field, descending)
        found = list(registry.threads.select(metadata=metadata, order=order))
        values = {entry.thread.key: value_of(entry, field) for entry in listed}
        by = sorted((key for key in values if values[key] is not None), key=place)
        by.sort(key=lambda key: values[key], reverse=descending)
        unknown = sorted((key for key in values if values[key] is None), key=place)
        assert [entry.thread.key for entry in found] == [*by, *unknown]
        assert len(found) == (15 if metadata is None else 14)


USER = {"user": "u"}


def place(key: Key) -> tuple[str, str, str]:
    return key.project, key.kind.value, key.id


def value_of(entry: Entry, field: str) -> Any:  # noqa: ANN401 - a time or a number
    return getattr(entry, field) if hasattr(entry, field) else getattr(entry.thread, field)


def test_what_is_unknown_is_neither_old_nor_large(registry: Registry) -> None:
    old, new, unknown = (Key("main", Kind.THREAD, name) for name in ("old", "new", "unknown"))
    said = [
        Registration(old, last_active_at=NOW - 9 * DAY),
        Registration(new, last_active_at=NOW - DAY),
        Registration(unknown),
    ]
    registry.registrations.add(said, NOW)
    with registry.store.writing() as connection:
        for key, items in ((old, 3), (new, 2)):
            connection.execute(update(THREAD).where(THREAD.c.id == key.id).values(items=items))

    def selected(**clauses: Any) -> list[str]:  # noqa: ANN401 - those of `select`
        return [entry.thread.key.id for entry in registry.threads.select(**clauses)]

    assert selected(active_at_or_before=NOW - DAY) == ["new", "old"]
    assert selected(active_at_or_before=NOW - 2 * DAY) == ["old"]
    assert selected(items_above=2) == ["old"]
    assert selected(items_above=1, active_at_or_before=NOW - DAY) == ["new", "old"]
    assert selected(kind=Kind.CONVERSATION) == []
    assert selected(kind=Kind.THREAD, project="main") == ["new", "old", "unknown"]


def test_labels_of_either_side_find_a_thread(registry: Registry) -> None:
    keys = [Key("main", Kind.THREAD, f"t{n}") for n in range(4)]
    registry.registrations.add([Registration(key, metadata={"user": "a"}) for key in keys[:2]], NOW)
    registry.registrations.add([Registration(key) for key in keys[2:]], NOW)
    registry.settlements.settle([Settlement(keys[1], NOW, upstream={"user": "b", "plan": "x"})])
    registry.settlements.settle([Settlement(keys[3], NOW, upstream={"user": "a", "plan": "x"})])

    def having(**metadata: str) -> list[str]:
        return [entry.thread.key.id for entry in registry.threads.select(metadata=metadata)]

    assert having(user="a") == ["t0", "t1", "t3"]
    assert having(user="b") == ["t1"]
    assert having(user="a", plan="x") == ["t1", "t3"]
    assert having(user="%") == []
    registry.settlements.settle([Settlement(keys[1], NOW, upstream={"user": "c"})])
    assert having(user="b") == having(plan="x", user="c") == []
    assert having(user="a") == ["t0", "t1", "t3"]


def test_select_streams_over_pages(registry: Registry) -> None:
    registry.registrations.add(
        (Registration(Key("p", Kind.THREAD, f"t{n}")) for n in range(2100)), NOW
    )
    registry.registrations.add([Registration(Key("q", Kind.THREAD, "t0"))], NOW)
    registry.settlements.reschedule([(Key("q", Kind.THREAD, "t0"), NOW, "x", NOW)])
    assert len({entry.thread.key for entry in registry.threads.select(project="p")}) == 2100
    assert len(list(registry.threads.select(state=State.ACTIVE))) == 2101
    assert [e.policy for e in registry.threads.select(due_at_or_before=NOW)] == ["x"]
    assert len(registry.threads.find("t0")) == 2
    assert registry.threads.find("nobody") == []


def test_a_group_comes_by_last_activity_then_id(registry: Registry) -> None:
    def active(id: str, days: int | None, user: str = "u") -> Registration:
        at = None if days is None else NOW - days * DAY
        return Registration(Key("main", Kind.THREAD, id), NOW - 99 * DAY, at, None, {"user": user})

    said = [active("c", 1), active("b", 2), active("a", 2), active("d", None), active("e", 0, "v")]
    registry.registrations.add(said, NOW)
    registry.settlements.settle(
        [Settlement(Key("main", Kind.THREAD, "c"), NOW, upstream={"user": "w"})]
    )
    assert [one.thread.key.id for one in registry.threads.group("user", "u")] == ["c", "a", "b"]
    assert [one.thread.key.id for one in registry.threads.group("user", "w")] == ["c"]
    assert [one.thread.key.id for one in islice(registry.threads.group(), 2)] == ["e", "c"]


def test_a_group_of_ties_streams_over_pages(registry: Registry) -> None:
    ids = [f"t{n:04}" for n in range(1500)]
    registry.registrations.add(
        (Registration(Key("main", Kind.THREAD, name), NOW, NOW) for name in reversed(ids)), NOW
    )
    assert [one.thread.key.id for one in registry.threads.group()] == ids


def test_distrusted_projects_are_dated_without_reports(registry: Registry, url: str) -> None:
    registry.registrations.add([Registration(KEY, NOW - 9 * DAY, NOW)], NOW)
    seen = Sightings(NOW, None, NOW - 5 * DAY, None, "i")
    registry.settlements.settle([Settlement(KEY, NOW, sightings=seen)])
    with Registry.open(url, untrusted=frozenset({"main"})) as other:
        entry = other.threads.get(KEY)
        assert entry is not None
        assert entry.thread.last_active_at == NOW - 5 * DAY
        assert [one.thread.last_active_at for one in other.threads.group()] == [NOW - 5 * DAY]
    with Registry.open(url, untrusted=None) as pausing:  # knows no configuration, changes no date
        assert [one.thread.last_active_at for one in pausing.threads.group()] == [NOW - 5 * DAY]
    with Registry.open(url) as other:
        assert [one.thread.last_active_at for one in other.threads.group()] == [NOW]


def recounted(registry: Registry) -> tuple[Counter[object], Counter[object], int]:
    entries = list(registry.threads.select())
    states = Counter[object](
        (e.thread.key.project, e.thread.key.kind, e.thread.state) for e in entries
    )
    live = Counter[object](e.policy for e in entries if e.policy and e.thread.state in LIVE)
    return states, live, sum(e.thread.copy is not None for e in entries)


keys = st.builds(
    Key, st.sampled_from(["p", "q"]), st.sampled_from(Kind), st.sampled_from(["a", "b", "c"])
)
policies = st.sampled_from([None, "x", "y"])


def registration(registry: Registry, key: Key, policy: str | None) -> None:
    registry.registrations.add([Registration(key, metadata={"k": policy or ""})], NOW)


def intention(registry: Registry, key: Key, policy: str | None) -> None:
    entry = registry.threads.get(key)
    if entry is not None and entry.thread.state in LIVE:
        registry.settlements.intend([Intent(key, "r", NOW, policy or "")])


def settlement(registry: Registry, key: Key, policy: str | None) -> None:
    state = State.ARCHIVED if policy == "x" else State.MISSING
    registry.settlements.settle(
        [
            Settlement(key, NOW, state=state, policy=policy, decided=True),
            Settlement(key, NOW, state=State.SOFT_DELETED if policy else None),
        ]
    )


def deletion(registry: Registry, key: Key, policy: str | None) -> None:
    happened = Event("r", NOW, key, "deleted", policy=policy)
    registry.settlements.settle([Settlement(key, None, tombstone=True, events=(happened,))])


def copying(registry: Registry, key: Key, policy: str | None) -> None:
    copy = Copy(f"{key.id}.{policy}", "d", "s", 1, "i", 9, NOW)
    kept = None if policy is None else NOW
    registry.settlements.settle([Settlement(key, NOW, copy=copy, archive_keep_until=kept)])


def forgetting(registry: Registry, key: Key, policy: str | None) -> None:
    past = [one for one in registry.copies.past(NOW) if one.key == key]
    registry.copies.settle_prune([PrunedCopy(one, Event("r", NOW, key, "pruned")) for one in past])


def confirming(registry: Registry, key: Key, policy: str | None) -> None:
    note = Event("r", NOW, key, "missing", policy=policy)
    registry.settlements.settle([Settlement(key, NOW, missing=True, events=(note,))])
    registry.settlements.confirm_missing("r", believed=[(key.project, key.kind)])


def rescheduling(registry: Registry, key: Key, policy: str | None) -> None:
    registry.settlements.reschedule([(key, NOW, policy, None)])


def expiry(registry: Registry, key: Key, policy: str | None) -> None:
    registry.settlements.expire_tombstones(NOW + DAY)


Operation = Callable[[Registry, Key, str | None], None]
operations: st.SearchStrategy[Operation] = st.sampled_from(
    [
        registration,
        intention,
        settlement,
        copying,
        forgetting,
        confirming,
        deletion,
        rescheduling,
        expiry,
    ]
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=SHARED_FIXTURE,  # emptied for each example
)
@given(done=st.lists(st.tuples(operations, keys, policies), min_size=5, max_size=30))
def test_counts_equal_a_recount(
    registry: Registry, done: list[tuple[Operation, Key, str | None]]
) -> None:
    with registry.store.writing() as connection:
        for table in (THREAD, LABEL, COUNT):
            connection.execute(delete(table))
    for operation, key, policy in done:
        operation(registry, key, policy)
    counted = (registry.threads.states(), registry.threads.population(), registry.copies.count())
    assert counted == recounted(registry)


def test_rescheduling_writes_only_what_changes(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY)], NOW)
    change = (KEY, NOW + DAY, "p", NOW + DAY)
    assert registry.settlements.reschedule([change]) == 1
    assert (
        registry.settlements.reschedule([change, (Key("q", Kind.THREAD, "t"), NOW, "p", NOW)]) == 0
    )
    assert [entry.thread.key for entry in registry.threads.living()] == [KEY]
    assert list(registry.threads.living(KEY)) == []


def test_a_thread_of_two_values_of_a_key_is_one_thread(registry: Registry) -> None:
    first, second = Key("main", Kind.THREAD, "t1"), Key("main", Kind.CONVERSATION, "t1")
    told = [Registration(key, NOW, NOW, metadata={"plan": "old"}) for key in (first, second)]
    registry.registrations.add(told, NOW)
    registry.settlements.settle([Settlement(first, NOW + DAY, upstream={"plan": "new"})])
    assert registry.threads.values_of_keys() == {"plan": (2, 2)}
