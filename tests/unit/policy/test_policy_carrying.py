from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from policy_facts import (
    NOW,
    archive,
    at,
    days,
    delete,
    early,
    lifetime,
    marked_thread,
    metadata,
    policies,
    soft,
    thread,
    trim,
)

from janitor.model import Decision, Hold, Kind, Mode, Stage, State, Thread
from janitor.policy import Policies, Policy, counts_items, decide, revived, weigh
from janitor.policy.rules import (
    AgeFrom,
    Delete,
    DeletionMark,
    Items,
    KeepLast,
    Selector,
    SoftDelete,
)

TRIAL = metadata(plan="trial")
PLAIN = Policy("plain", TRIAL, delete=delete(30))
UNDO = Policy("undo", TRIAL, soft_delete=soft(20), delete=delete(30))


def decided(given: Policies, about: Thread, *holds: Hold) -> Decision:
    return decide(about, given, holds, {}, NOW)


def test_the_base_of_an_age_is_told() -> None:
    assert decided(policies(PLAIN), thread(3)).age_base == at(-3)
    by_birth = replace(PLAIN, age_from=AgeFrom.CREATED)
    assert decided(policies(by_birth), thread(3, 9)).age_base == at(-9)
    full = Policy("full", archive=archive(items=2))
    assert decided(policies(full), thread(3, items=2)).age_base == at(-3)
    assert decided(policies(life=lifetime(most=9)), thread(3, 8)).age_base == at(-8)
    assert decided(policies(), thread(3)).age_base is None


@pytest.mark.parametrize(
    ("deletes", "first"),
    [
        ([], True),
        ([Items.FIRST], True),
        ([Items.KEEP], False),
        ([Items.KEEP, Items.FIRST], True),
    ],
)
def test_items_go_first_unless_all_say_keep(deletes: list[Items], first: bool) -> None:
    rules = [Policy(f"p{i}", delete=Delete(days(30), items)) for i, items in enumerate(deletes)]
    others = [Policy("copy", archive=archive(1))]
    assert decided(policies(*rules, *others), thread(3)).items_first is first


@pytest.mark.parametrize(
    ("mark", "kind", "upstream"),
    [
        (DeletionMark.REGISTRY, Kind.CONVERSATION, False),
        (DeletionMark.UPSTREAM, Kind.CONVERSATION, True),
        (DeletionMark.UPSTREAM, Kind.CHATKIT_THREAD, False),
    ],
)
def test_marked_upstream_where_asked_and_possible(
    mark: DeletionMark, kind: Kind, upstream: bool
) -> None:
    asked = Policy("a", soft_delete=SoftDelete(days(20), mark))
    given = policies(asked, replace(UNDO, name="b"), Policy("c", delete=delete(9)))
    assert decided(given, thread(3, kind=kind)).mark_upstream is upstream


@pytest.mark.parametrize(
    ("asked", "longest"),
    [([], None), ([days(9)], days(9)), ([days(9), days(90)], days(90)), ([days(9), None], None)],
)
def test_the_copy_is_kept_for_the_longest(
    asked: list[timedelta | None], longest: timedelta | None
) -> None:
    rules = [
        Policy(f"p{i}", archive=replace(archive(1), keep_for=keep_for))
        for i, keep_for in enumerate(asked)
    ]
    assert decided(policies(PLAIN, *rules), thread(3)).keep_for == longest


def test_stages_of_different_modes_never_share_a_sweep() -> None:
    copy = Policy("copy", archive=archive(7))
    given = replace(policies(copy, PLAIN), mode=Mode.ENFORCE)
    tried = replace(policies(copy, replace(PLAIN, mode=Mode.AUDIT)), mode=Mode.ENFORCE)
    both = replace(given, mode=Mode.AUDIT)

    assert decided(given, thread(99)).stages == ("archive", "delete")
    assert decided(both, thread(99)).stages == ("archive", "delete")
    assert decided(tried, thread(99)).stages == ("archive",)
    assert decided(tried, thread(99)).policy == "copy"
    assert decided(tried, thread(99, copied=True)).stages == ("delete",)
    assert decided(tried, thread(99, copied=True)).policy == "plain"


def test_the_ceiling_acts_in_the_mode_of_the_file() -> None:
    tried = Policy("tried", TRIAL, archive=archive(7), mode=Mode.AUDIT)
    given = replace(policies(tried, life=lifetime(most=100)), mode=Mode.ENFORCE)
    assert decided(given, thread(99, 100)).stages == ("archive",)
    assert decided(given, thread(99, 100, copied=True)).stages == ("delete",)


@pytest.mark.parametrize(
    ("file", "own", "mode"),
    [
        (Mode.ENFORCE, None, Mode.ENFORCE),
        (Mode.ENFORCE, Mode.ENFORCE, Mode.ENFORCE),
        (Mode.ENFORCE, Mode.AUDIT, Mode.AUDIT),
        (Mode.AUDIT, Mode.ENFORCE, Mode.AUDIT),
    ],
)
def test_audit_wins(file: Mode, own: Mode | None, mode: Mode) -> None:
    given = replace(policies(replace(PLAIN, mode=own)), mode=file)
    assert given.mode_of("plain") is mode
    assert given.mode_of("another") is file


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (marked_thread(1, 2), True),
        (marked_thread(2, 2), False),
        (marked_thread(3, 2), False),
        (thread(None, marked=2, state=State.SOFT_DELETED), False),
        (thread(1, state=State.SOFT_DELETED), False),
        (thread(1, marked=2), False),
    ],
)
def test_activity_after_the_mark_revives(about: Thread, expected: bool) -> None:
    assert revived(about) is expected


def test_a_mark_of_unknown_time_opens_no_way() -> None:
    about = thread(99, state=State.SOFT_DELETED)
    assert decided(policies(UNDO), about).due_at == at(10)


def test_a_late_mark_puts_off_the_deletion() -> None:
    times = weigh(thread(99), policies(UNDO), (), {}, NOW).times
    assert times.delete is not None
    assert times.delete.at == at(10)


def test_a_guard_puts_off_every_removing_stage_and_no_copy() -> None:
    rule = Policy("p", archive=archive(1), soft_delete=soft(2), delete=delete(3), trim=trim(1, 2))
    held = Hold("h", ids=frozenset({"t"}), until=at(9))
    times = weigh(thread(5, items=9), policies(rule), (held,), {}, NOW).times
    assert [due and due.at for due in times] == [at(-4), at(9), at(9), at(9)]


def test_each_policy_alone() -> None:
    case = weigh(thread(5), policies(PLAIN, UNDO), (), {}, NOW)
    alone = {
        name: [None if due is None else due.at for due in times]
        for name, times in case.of_each().items()
    }
    assert alone == {"plain": [None, None, None, at(25)], "undo": [None, at(15), None, at(25)]}


def test_the_ceiling_is_named_only_where_it_is_earlier() -> None:
    given = policies(PLAIN, life=lifetime(most=40))
    assert decided(given, thread(1, 11)).policy == "plain"
    assert decided(given, thread(1, 12)).policy == "lifetime.max"


def test_what_is_unread_is_unknown_kind_by_kind_and_project_by_project() -> None:
    at_b = Policy("b", Selector(projects=frozenset({"b"})), delete=delete(1))
    threads = Policy("t", Selector(kinds=frozenset({Kind.THREAD})), delete=delete(1))
    given = policies(at_b, threads)
    found = [
        decided(given, thread(9, reported=None, kind=kind, project=project)).policy
        for kind in (Kind.CONVERSATION, Kind.THREAD)
        for project in ("a", "b")
    ]
    assert found == [None, "b", "t", "b"]


def test_equal_holds_are_named_by_name() -> None:
    first, second = Hold("a", ids=frozenset({"t"})), Hold("b", ids=frozenset({"t"}))
    assert decided(policies(PLAIN), thread(99), first, second).policy == "a"
    assert decided(policies(PLAIN), thread(99), second, first).policy == "a"
    over = replace(first, until=at(-1))
    assert decided(policies(PLAIN), thread(99), over, second).policy == "b"


def test_items_are_counted_where_a_policy_asks() -> None:
    by_items = Policy("i", TRIAL, archive=archive(items=5))
    by_window = Policy("w", TRIAL, trim=trim(5))
    assert counts_items(thread(), policies(by_items))
    assert counts_items(thread(), policies(by_window))
    assert not counts_items(thread(), policies(PLAIN, Policy("a", archive=archive(1))))
    assert not counts_items(thread(reported={}), policies(by_items))
    chatkit = Policy("c", Selector(kinds=frozenset({Kind.CHATKIT_THREAD})), trim=trim(5))
    assert not counts_items(thread(), policies(chatkit))


def test_the_next_look_is_when_something_may_fall_due() -> None:
    held = Hold("h", ids=frozenset({"t"}), until=at(2))
    given = policies(PLAIN)
    assert decided(given, thread(25), held).review_at == at(2)
    assert decided(given, thread(25)).review_at == at(5)
    last = policies(replace(PLAIN, keep_last=KeepLast(1)))
    assert decide(thread(20), last, (), {"plain": 0}, NOW).review_at == at(1)
    assert decide(thread(20), last, (), {"plain": 1}, NOW).review_at == at(10)


def test_an_early_copy_in_audit_keeps_no_other_policy_from_copying() -> None:
    kept = Policy("kept", TRIAL, archive=archive(7), delete=delete(30))
    audited = Policy("audited", TRIAL, archive=early(1), mode=Mode.AUDIT)
    given = replace(policies(kept, audited), mode=Mode.ENFORCE)
    first, later = (decided(given, thread(age)) for age in (1, 31))
    assert (first.stages, first.policy) == ((Stage.ARCHIVE,), "audited")
    assert (later.stages, later.policy) == ((Stage.ARCHIVE, Stage.DELETE), "kept")


def test_a_policy_in_audit_keeps_no_early_copy_from_being_made() -> None:
    audited = Policy("audited", TRIAL, archive=archive(7), mode=Mode.AUDIT)
    given = replace(policies(audited, Policy("early", TRIAL, archive=early(1))), mode=Mode.ENFORCE)
    for age in (1, 31):
        decision = decided(given, thread(age))
        assert (decision.stages, decision.policy) == ((Stage.ARCHIVE,), "early")
