"""A walk over what a server lists: whole, cut short, taken up again, and over lists that lie."""

from __future__ import annotations

from datetime import timedelta

import pytest
from discovery_world import NOW, Lists, either, lists

from janitor.emulator import Fault, How
from janitor.errors import (
    AccessError,
    FaultError,
    LockedError,
    RefusedError,
    StoppedError,
    TransientError,
)
from janitor.model import Key, Kind, State
from janitor.registry import Settlement
from janitor.sources.watermark import troubles

__all__ = ["either", "lists"]

SESSION = Kind.AGENT_SESSION
PRIVATE = "a private text"


@pytest.mark.parametrize("kind", Kind)
def test_all_that_is_listed_is_registered_as_the_server_dates_it(lists: Lists, kind: Kind) -> None:
    ids = lists.fill(230, kind)
    found, absent = lists.discover(kind)
    assert (found.listed, found.registered.added, found.is_whole) == (230, 230, True)
    assert (found.failure, absent, lists.ids()) == (None, [], sorted(ids))
    (first, *_) = lists.known()
    assert first.thread.created_at == NOW
    assert (first.thread.reported, first.thread.upstream) == (None, None)
    assert first.thread.last_active_at is None


def test_a_second_walk_adds_nothing_and_puts_nothing_up_for_review(either: Lists) -> None:
    either.fill(3)
    either.discover()
    before = either.known()
    either.server.clock.advance(timedelta(days=2))
    found, absent = either.discover()
    assert (found.registered.added, found.registered.unchanged, absent) == (0, 3, [])
    assert either.known() == before


def test_what_is_known_here_and_absent_upstream_is_told_and_stays(either: Lists) -> None:
    either.fill(2)
    either.register("sess_gone")
    either.register("sess_elsewhere", project="other")
    either.register("conv_1", kind=Kind.CONVERSATION)
    before = {entry.thread.key: entry for entry in either.known()}
    either.server.clock.advance(timedelta(minutes=1))
    found, absent = either.discover()
    assert (found.absent, absent) == (1, ["sess_gone"])
    after = {entry.thread.key: entry for entry in either.known()}
    assert {key: after[key] for key in before} == before


def test_what_is_created_meanwhile_is_not_told_as_absent(lists: Lists) -> None:
    lists.fill(2)
    lists.at_each_page = lambda: lists.register("sess_new")
    assert lists.discover()[1] == []
    lists.server.clock.advance(timedelta(minutes=1))
    assert lists.discover()[1] == ["sess_new"]


def test_tombstones_are_neither_absent_nor_revived(either: Lists) -> None:
    (listed,) = either.fill(1)
    either.register(listed, "sess_gone")
    keys = [Key("main", SESSION, one) for one in (listed, "sess_gone")]
    dead = [Settlement(key, None, state=State.DELETED, tombstone=True) for key in keys]
    either.registry.settlements.settle(dead)
    either.server.clock.advance(timedelta(minutes=1))
    found, absent = either.discover()
    assert (found.registered.unchanged, absent) == (1, [])
    assert {entry.thread.state for entry in either.known()} == {State.DELETED}


def test_an_empty_list_lacks_everything_and_removes_nothing(lists: Lists) -> None:
    lists.register("sess_1", "sess_2")
    lists.server.clock.advance(timedelta(minutes=1))
    found, absent = lists.discover()
    assert (found.is_whole, absent, len(lists.ids())) == (True, ["sess_1", "sess_2"], 2)


@pytest.mark.parametrize("kind", [Kind.CONVERSATION, Kind.THREAD])
def test_a_server_that_does_not_list_is_no_failure(lists: Lists, kind: Kind) -> None:
    lists.server.lists_all = False
    lists.register("conv_1", kind=kind)
    lists.server.clock.advance(timedelta(minutes=1))
    found, absent = lists.discover(kind)
    assert (found.is_listed, found.is_whole, found.failure, absent) == (False, False, None, [])


@pytest.mark.parametrize("how", [How.IGNORE_AFTER, How.REPEATED])
def test_a_list_that_loops_is_stopped_and_keeps_what_was_registered(lists: Lists, how: How) -> None:
    lists.fill(250)
    lists.register("sess_known")
    lists.server.clock.advance(timedelta(minutes=1))
    number = lists.fault(how, skip=1)
    found, absent = lists.discover()
    assert isinstance(found.failure, RefusedError)
    assert (found.is_whole, absent) == (False, [])
    assert (len(lists.ids()), lists.asked()) == (101, 2)
    lists.server.remove_fault(number)
    found, absent = lists.discover()
    assert (found.is_resumed, found.is_whole) == (False, True)
    assert (found.registered.added, absent) == (150, ["sess_known"])


def test_a_list_that_comes_back_to_its_beginning_at_its_end_is_a_loop(lists: Lists) -> None:
    lists.fill(250)
    lists.fault(How.IGNORE_AFTER, skip=2)
    found, _ = lists.discover()
    assert isinstance(found.failure, RefusedError)
    assert (found.registered.added, lists.asked()) == (200, 3)
    assert "loop" in str(found.failure)


@pytest.mark.parametrize("how", [How.NO_LAST_ID, How.CUT_BODY, How.NULL, How.EMPTY_OBJECT])
def test_a_list_that_breaks_off_is_not_believed_to_be_whole(lists: Lists, how: How) -> None:
    ids = lists.fill(250, Kind.CHATKIT_THREAD)
    lists.fault(how, Kind.CHATKIT_THREAD, skip=1, times=1)
    found, _ = lists.discover(Kind.CHATKIT_THREAD)
    assert (found.is_whole, isinstance(found.failure, RefusedError)) == (False, True)
    assert lists.ids() == ids[:100]
    assert lists.discover(Kind.CHATKIT_THREAD)[0].is_whole


def test_a_walk_that_failed_goes_on_where_it_stopped(either: Lists) -> None:
    either.fill(250)
    either.fault(How.STATUS, skip=1, times=1)
    found, _ = either.discover()
    assert isinstance(found.failure, TransientError)
    found, absent = either.discover()
    assert (found.is_resumed, found.is_whole, found.registered.added) == (True, True, 150)
    assert (absent, either.asked()) == ([], 4)


def test_a_walk_goes_on_under_the_same_access_only(lists: Lists) -> None:
    lists.fill(250)
    lists.fault(How.STATUS, skip=1, times=1)
    lists.discover()
    lists.access = "another"
    found, _ = lists.discover()
    assert (found.is_resumed, found.listed, found.is_whole) == (False, 250, True)


def test_a_walk_whose_place_is_gone_begins_anew(either: Lists) -> None:
    ids = either.fill(250)
    either.fault(How.STATUS, skip=1, times=1)
    either.discover()
    either.server._world.containers.pop(ids[99])
    either.server.clock.advance(timedelta(minutes=1))
    found, absent = either.discover()
    assert (found.is_whole, found.registered.added, found.registered.unchanged) == (True, 150, 99)
    assert absent == [ids[99]]


def test_a_walk_that_is_asked_to_stop_does_and_goes_on_later(lists: Lists) -> None:
    lists.fill(3)
    lists.stop.set()
    with pytest.raises(StoppedError):
        lists.discover()
    lists.stop.clear()
    assert lists.discover()[0].is_whole


def test_a_refused_credential_is_told(lists: Lists) -> None:
    lists.server.add_fault(_unauthorised())
    assert isinstance(lists.discover()[0].failure, AccessError)
    assert isinstance(lists.preview().failure, AccessError)


def _unauthorised() -> Fault:
    return Fault(How.STATUS, status=401)


def test_what_nobody_foresaw_concerns_that_list_alone(either: Lists) -> None:
    either.fill(2)

    def trip() -> None:
        raise KeyError(PRIVATE)

    either.at_each_page = trip
    found, _ = either.discover()
    assert isinstance(found.failure, FaultError)
    assert str(found.failure).startswith("discover:main:agent_session: unexpected KeyError at ")
    assert PRIVATE not in str(found.failure)
    assert troubles(either.registry) == {"discover:main:agent_session": str(found.failure)}
    either.at_each_page = lambda: None
    assert either.discover()[0].failure is None
    assert troubles(either.registry) == {}


def test_a_list_that_another_walks_is_not_down(either: Lists) -> None:
    with either.registry.walking("discover:main:agent_session", timedelta()):
        found, _ = either.discover()
    assert isinstance(found.failure, LockedError)
    assert troubles(either.registry) == {}
