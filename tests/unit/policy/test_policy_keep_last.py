from __future__ import annotations

from policy_facts import NOW, lifetime, metadata, policies, thread

from janitor.model import Hold, State, Thread
from janitor.policy import Policy, ranks_of
from janitor.policy.rules import KeepLast

ALL = Policy("all", metadata(plan="trial"), keep_last=KeepLast(1))
PER = Policy("per", metadata(plan="trial"), keep_last=KeepLast(1, "user"))


def ranks(*threads: Thread, rule: Policy = ALL) -> dict[str, int]:
    found = ranks_of(threads, policies(rule), NOW)
    return {key.id: places[rule.name] for key, places in found.items()}


def test_the_most_recently_active_comes_first_and_equals_go_by_id() -> None:
    threads = [thread(2, id="b"), thread(1, id="c"), thread(2, id="a"), thread(0, id="d")]
    assert ranks(*threads) == {"d": 0, "c": 1, "a": 2, "b": 3}


def test_the_id_comes_before_the_project() -> None:
    threads = [thread(1, id="a", project="z"), thread(1, id="b", project="main")]
    assert ranks(*threads) == {"a": 0, "b": 1}


def test_each_group_counts_for_itself() -> None:
    ada, bob = {"plan": "trial", "user": "ada"}, {"plan": "trial", "user": "bob"}
    threads = [
        thread(1, id="a1", reported=ada),
        thread(2, id="a2", reported=ada),
        thread(3, id="b1", reported=bob),
        thread(0, id="nobody"),
    ]
    assert ranks(*threads, rule=PER) == {"a1": 0, "a2": 1, "b1": 0}


def test_upstream_names_the_group() -> None:
    threads = [
        thread(2, id="a", reported={"plan": "trial", "user": "ada"}, upstream={"user": "bob"}),
        thread(1, id="b", reported={"plan": "trial", "user": "bob"}),
    ]
    assert ranks(*threads, rule=PER) == {"b": 0, "a": 1}


def test_unknown_and_future_activity_and_other_states_take_no_place() -> None:
    threads = [
        thread(None, id="unknown"),
        thread(-1, id="future"),
        thread(0, id="marked", state=State.SOFT_DELETED),
        thread(0, id="gone", state=State.MISSING),
        thread(0, id="paid", reported={"plan": "paid"}),
        thread(0, id="unread", reported=None),
        thread(9, id="archived", state=State.ARCHIVED),
    ]
    assert ranks(*threads) == {"archived": 0}


def test_policies_without_keep_last_rank_nobody() -> None:
    assert ranks_of([thread()], policies(Policy("k", keep_forever=True)), NOW) == {}


def test_what_the_ceiling_removes_takes_no_place() -> None:
    given = policies(ALL, life=lifetime(most=50))
    old, young = thread(1, id="old", created=60), thread(2, id="young", created=40)
    assert ranks_of([old, young], given, NOW) == {old.key: {"all": 0}, young.key: {"all": 0}}


def test_what_is_held_above_the_ceiling_keeps_its_place() -> None:
    given = policies(ALL, life=lifetime(most=50))
    old, young = thread(1, id="old", created=60), thread(2, id="young", created=40)
    held = (Hold("case", ids=frozenset({"old"})),)
    assert ranks_of([old, young], given, NOW, held)[young.key] == {"all": 1}
