from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Select, delete

from janitor.model import LIVE, Copy, Key, Kind, State
from janitor.policy.activity import Sightings
from janitor.policy.retention import KeptCopy
from janitor.registry import Cursor, Event, Gone, Intent, Registration, Registry, Settlement
from janitor.registry.claiming import claimable
from janitor.registry.copies import past_statement
from janitor.registry.reading import due_statement, rank_statement
from janitor.registry.tables import COUNT, LABEL, THREAD

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = Key("main", Kind.THREAD, "t")


def steps(registry: Registry, statement: Select[tuple[object, ...]]) -> str:
    """How the engine would run a statement over many rows."""
    engine = registry._engine
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


def test_labels_of_either_side_find_a_thread(registry: Registry) -> None:
    keys = [Key("main", Kind.THREAD, f"t{n}") for n in range(4)]
    registry.register([Registration(key, metadata={"user": "a"}) for key in keys[:2]], NOW)
    registry.register([Registration(key) for key in keys[2:]], NOW)
    registry.settle([Settlement(keys[1], NOW, upstream={"user": "b", "plan": "x"})])
    registry.settle([Settlement(keys[3], NOW, upstream={"user": "a", "plan": "x"})])

    def having(**metadata: str) -> list[str]:
        return [entry.thread.key.id for entry in registry.select(metadata=metadata)]

    assert having(user="a") == ["t0", "t1", "t3"]
    assert having(user="b") == ["t1"]
    assert having(user="a", plan="x") == ["t1", "t3"]
    assert having(user="%") == []
    registry.settle([Settlement(keys[1], NOW, upstream={"user": "c"})])
    assert having(user="b") == having(plan="x", user="c") == []
    assert having(user="a") == ["t0", "t1", "t3"]


def test_select_streams_over_pages(registry: Registry) -> None:
    registry.register((Registration(Key("p", Kind.THREAD, f"t{n}")) for n in range(2100)), NOW)
    registry.register([Registration(Key("q", Kind.THREAD, "t0"))], NOW)
    registry.reschedule([(Key("q", Kind.THREAD, "t0"), NOW, "x", NOW)])
    assert len({entry.thread.key for entry in registry.select(project="p")}) == 2100
    assert len(list(registry.select(state=State.ACTIVE))) == 2101
    assert [e.policy for e in registry.select(due_at_or_before=NOW)] == ["x"]
    assert len(registry.find("t0")) == 2
    assert registry.find("nobody") == []


def test_a_group_comes_by_last_activity_then_id(registry: Registry) -> None:
    def active(id: str, days: int | None, user: str = "u") -> Registration:
        at = None if days is None else NOW - days * DAY
        return Registration(Key("main", Kind.THREAD, id), NOW - 99 * DAY, at, None, {"user": user})

    said = [active("c", 1), active("b", 2), active("a", 2), active("d", None), active("e", 0, "v")]
    registry.register(said, NOW)
    registry.settle([Settlement(Key("main", Kind.THREAD, "c"), NOW, upstream={"user": "w"})])
    assert [one.thread.key.id for one in registry.group("user", "u")] == ["c", "a", "b"]
    assert [one.thread.key.id for one in registry.group("user", "w")] == ["c"]
    assert [one.thread.key.id for one in islice(registry.group(), 2)] == ["e", "c"]


def test_a_group_of_ties_streams_over_pages(registry: Registry) -> None:
    ids = [f"t{n:04}" for n in range(1500)]
    registry.register(
        (Registration(Key("main", Kind.THREAD, name), NOW, NOW) for name in reversed(ids)), NOW
    )
    assert [one.thread.key.id for one in registry.group()] == ids


def test_distrusted_projects_are_dated_without_reports(registry: Registry, url: str) -> None:
    registry.register([Registration(KEY, NOW - 9 * DAY, NOW)], NOW)
    seen = Sightings(NOW, None, NOW - 5 * DAY, None, "i")
    registry.settle([Settlement(KEY, NOW, sightings=seen)])
    with Registry.open(url, untrusted=frozenset({"main"})) as other:
        entry = other.get(KEY)
        assert entry is not None
        assert entry.thread.last_active_at == NOW - 5 * DAY
        assert [one.thread.last_active_at for one in other.group()] == [NOW - 5 * DAY]
    with Registry.open(url, untrusted=None) as pausing:  # knows no configuration, changes no date
        assert [one.thread.last_active_at for one in pausing.group()] == [NOW - 5 * DAY]
    with Registry.open(url) as other:
        assert [one.thread.last_active_at for one in other.group()] == [NOW]


def recounted(registry: Registry) -> tuple[Counter[object], Counter[object], int]:
    entries = list(registry.select())
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
    registry.register([Registration(key, metadata={"k": policy or ""})], NOW)


def intention(registry: Registry, key: Key, policy: str | None) -> None:
    entry = registry.get(key)
    if entry is not None and entry.thread.state in LIVE:
        registry.intend([Intent(key, "r", NOW, policy or "")])


def settlement(registry: Registry, key: Key, policy: str | None) -> None:
    state = State.ARCHIVED if policy == "x" else State.MISSING
    registry.settle(
        [
            Settlement(key, NOW, state=state, policy=policy, decided=True),
            Settlement(key, NOW, state=State.SOFT_DELETED if policy else None),
        ]
    )


def deletion(registry: Registry, key: Key, policy: str | None) -> None:
    happened = Event("r", NOW, key, "deleted", policy=policy)
    registry.settle([Settlement(key, None, tombstone=True, events=(happened,))])


def copying(registry: Registry, key: Key, policy: str | None) -> None:
    copy = Copy(f"{key.id}.{policy}", "d", "s", 1, "i", 9, NOW)
    kept = None if policy is None else NOW
    registry.settle([Settlement(key, NOW, copy=copy, archive_keep_until=kept)])


def forgetting(registry: Registry, key: Key, policy: str | None) -> None:
    past = [one for one in registry.copies_past(NOW) if one.key == key]
    registry.settle_prune([Gone(one, Event("r", NOW, key, "pruned")) for one in past])


def confirming(registry: Registry, key: Key, policy: str | None) -> None:
    note = Event("r", NOW, key, "missing", policy=policy)
    registry.settle([Settlement(key, NOW, missing=True, events=(note,))])
    registry.confirm_missing("r", believed=[(key.project, key.kind)])


def rescheduling(registry: Registry, key: Key, policy: str | None) -> None:
    registry.reschedule([(key, NOW, policy, None)])


def expiry(registry: Registry, key: Key, policy: str | None) -> None:
    registry.expire_tombstones(NOW + DAY)


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
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # emptied for each example
)
@given(done=st.lists(st.tuples(operations, keys, policies), min_size=5, max_size=30))
def test_counts_equal_a_recount(
    registry: Registry, done: list[tuple[Operation, Key, str | None]]
) -> None:
    with registry._writing() as connection:
        for table in (THREAD, LABEL, COUNT):
            connection.execute(delete(table))
    for operation, key, policy in done:
        operation(registry, key, policy)
    counted = (registry.states(), registry.population(), registry.copies())
    assert counted == recounted(registry)


def test_rescheduling_writes_only_what_changes(registry: Registry) -> None:
    registry.register([Registration(KEY)], NOW)
    change = (KEY, NOW + DAY, "p", NOW + DAY)
    assert registry.reschedule([change]) == 1
    assert registry.reschedule([change, (Key("q", Kind.THREAD, "t"), NOW, "p", NOW)]) == 0
    assert [entry.thread.key for entry in registry.reviewable()] == [KEY]
    assert registry.reviewable(KEY) == []
