"""Threads told over HTTP: through to the registry's rows, and never further than an inbox row."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from health import SHARED_FIXTURE
from hypothesis import given, settings
from hypothesis import strategies as st
from operated import NOW, Operated

from janitor.model import Key, Kind, NoticeEvent, State
from janitor.policy.activity import Sightings
from janitor.registry import Registration, RunResult, Settlement
from janitor.service.bodies import MOST_THREADS, ThreadBody
from janitor.times import FOREVER
from janitor.tracking.inbox import HttpInbox
from janitor.tracking.metrics import COUNTERS
from janitor.tracking.notices import Notice as Told

DAY = timedelta(days=1)
KEY = Key("main", Kind.CONVERSATION, "conv_1")
AT = "2026-05-01T10:00:00+02:00"
BAD: dict[str, tuple[object, str]] = {
    "no id": ({"project": "main"}, "id is missing"),
    "an odd id": ({"id": "../x", "kind": "thread", "project": "main"}, "the id"),
    "a number as id": ({"id": 5}, "id must be a text"),
    "no kind": ({"id": "x", "project": "main"}, "no kind"),
    "another kind": ({"id": "conv_1", "kind": "folder", "project": "main"}, "unknown kind"),
    "no project": ({"id": "conv_1", "project": "mian"}, "not configured"),
    "a typo": ({"id": "conv_1", "metdata": {}}, "unknown"),
    "no time": ({"id": "conv_1", "project": "main", "at": "soon"}, "not a time"),
    "a yes": ({"id": "conv_1", "at": True}, "time"),
    "two times": ({"id": "conv_1", "at": AT, "last_active_at": AT}, "only one"),
    "a list": ({"id": "conv_1", "metadata": []}, "object"),
    "a number": ({"id": "conv_1", "project": "main", "metadata": {"a": 1}}, "strings"),
    "a long value": ({"id": "conv_1", "project": "main", "metadata": {"a": "x" * 513}}, "512"),
    "many pairs": (
        {"id": "conv_1", "project": "main", "metadata": {f"k{n}": "" for n in range(65)}},
        "64",
    ),
    "an event": ({"id": "conv_1", "event": "delete"}, "event"),
    "a version": ({"id": "conv_1", "v": 2}, "v must be 1"),
    "no object": (None, "object"),
}


def thread(**said: object) -> dict[str, object]:
    return {"id": "conv_1", "project": "main", **said}


def test_one_thread_is_registered_as_it_was_told(operated: Operated) -> None:
    said = thread(created_at="2026-04-01T00:00:00Z", at=AT, metadata={"plan": "trial"})
    status, answer = operated.tell(said)
    assert (status, answer) == (202, {"schema": 1, "accepted": 1, "refused": []})
    found = operated.drained()["conv_1"].thread
    assert found.key == KEY
    assert found.created_at == datetime(2026, 4, 1, tzinfo=UTC)
    assert found.last_active_at == datetime(2026, 5, 1, 8, tzinfo=UTC)
    assert found.reported == {"plan": "trial"}


def test_a_batch_with_an_odd_one_is_taken_without_it(operated: Operated) -> None:
    rows = [thread(), {"id": "../x"}, {"id": "thread_2", "project": "other"}, 5]
    status, answer = operated.tell({"threads": rows})
    assert (status, answer["accepted"]) == (202, 2)
    assert [(one["index"], one["id"]) for one in answer["refused"]] == [(1, "../x"), (3, None)]
    found = operated.drained()
    assert {entry.thread.key.kind for entry in found.values()} == {"conversation", "thread"}
    assert found["thread_2"].thread.last_active_at == NOW, "now, where nothing is said"


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_says_why_and_enters_nowhere(operated: Operated, name: str) -> None:
    said, reason = BAD[name]
    for body in (said, {"threads": [said, said]}):
        status, answer = operated.tell(body)
        assert status == (400 if body is None else 422)
        if status == 422:
            assert reason in answer["error"]
            assert answer["accepted"] == 0
            assert all(reason in one["reason"] for one in answer["refused"])
    assert operated.registry.inbox.undrained() == 0


MARK = "s3cret"


@pytest.mark.parametrize("name", ThreadBody.model_fields)
@pytest.mark.parametrize("value", [[MARK], {"a": [MARK]}, MARK * 99], ids=["list", "map", "long"])
def test_a_refusal_quotes_no_value(operated: Operated, name: str, value: object) -> None:
    if name in {"kind", "project"}:
        value = [value]  # as text, a name that is not configured is told, to find the typo
    for method, path in (("POST", ""), ("PATCH", "/main/conversation/conv_1")):
        given = {name: value} if path else {"id": "conv_1", "project": "main", name: value}
        status, answer = operated.tell(given, method, path)
        assert status == 422
        assert MARK not in json.dumps({**answer, "refused": answer["refused"][0]["reason"]})


@pytest.mark.parametrize(
    "rows", [{}, None, "x", [{"id": "conv_1", "project": "main"}] * (MOST_THREADS + 1)]
)
def test_what_is_no_batch_is_refused_as_a_whole(operated: Operated, rows: object) -> None:
    assert operated.tell({"threads": rows})[0] == 422
    assert operated.tell({"threads": [], "more": 1})[0] == 422
    assert operated.registry.inbox.undrained() == 0


def test_a_full_batch_is_taken_and_a_larger_body_is_not(operated: Operated) -> None:
    rows = [thread(id=f"conv_{n}", metadata={"a": "x" * 400}) for n in range(MOST_THREADS)]
    status, answer = operated.tell({"threads": rows})
    assert (status, answer["accepted"]) == (202, MOST_THREADS)
    assert operated.registry.inbox.undrained() == MOST_THREADS
    assert operated.ask("/api/threads", b" " * (1 << 20) + b"{}", "r")[0] == 413
    assert (
        operated.ask("/api/threads/main/thread/t", b" " * (1 << 16) + b"{}", "r", "PATCH")[0] == 413
    )


def test_a_thread_is_named_by_the_path_known_or_not(operated: Operated) -> None:
    path = "/main/conversation/conv_1"
    status, answer = operated.tell({"at": AT, "metadata": {"plan": "x"}}, "PATCH", path)
    assert (status, answer["accepted"]) == (202, 1)
    assert operated.tell({"keep_until": "forever"}, "PATCH", path)[0] == 202
    found = operated.drained()["conv_1"].thread
    assert found.reported == {"plan": "x"}
    assert found.keep_until is not None
    assert found.keep_until.year == 9999
    assert operated.tell({"id": "conv_2"}, "PATCH", path)[0] == 422
    for wrong in ("/main/folder/conv_1", "/mian/thread/x", "/main/thread/.."):
        assert operated.tell({}, "PATCH", wrong)[0] == 422
    assert operated.tell({}, "PATCH", "/main/thread/a/b")[0] == 404
    assert len(operated.drained()) == 1


def rows(operated: Operated) -> dict[str, Any]:
    """Every column that may matter, for each thread."""
    return {name: (entry.thread, entry.sightings) for name, entry in operated.drained().items()}


def test_saying_it_again_changes_nothing(operated: Operated) -> None:
    said = {"threads": [thread(at=AT, metadata={"plan": "x"}), thread(id="conv_2", at=AT)]}
    operated.tell(said)
    before = rows(operated)
    for _ in range(2):
        assert operated.tell(said)[0] == 202
        operated.tell({"at": AT, "metadata": {"plan": "x"}}, "PATCH", "/main/conversation/conv_1")
        assert rows(operated) == before


def test_nothing_known_is_overwritten_shortened_or_revived(operated: Operated) -> None:
    registry = operated.registry
    known = Registration(KEY, NOW - DAY, NOW, NOW + 9 * DAY, {"user": "a"})
    dead = Key("main", Kind.CONVERSATION, "conv_dead")
    registry.registrations.add([known, Registration(dead, NOW, NOW)], NOW)
    run = registry.runs.start("sweep", "enforce", "digest", NOW)
    registry.settlements.settle([Settlement(dead, None, tombstone=True)])
    registry.runs.close(run.id, RunResult.DONE, NOW)
    before = rows(operated)
    evil = {
        "metadata": {"user": "b"},
        "created_at": "2020-01-01T00:00:00Z",
        "at": "2020-01-01T00:00:00Z",
        "keep_until": "2020-01-01T00:00:00Z",
    }
    for event in ("register", "touch", "deleted"):
        for name in ("conv_1", "conv_dead"):
            assert operated.tell(thread(id=name, event=event, **evil))[0] == 202
            path = f"/main/conversation/{name}"
            assert operated.tell({**evil, "event": event}, "PATCH", path)[0] == 202
        assert rows(operated) == before, event
    assert registry.threads.get(dead).thread.state is State.DELETED  # type: ignore[union-attr]


def test_what_is_told_only_ever_lengthens(operated: Operated) -> None:
    operated.tell(thread(keep_until="2027-01-01", at=AT))
    operated.tell(thread(keep_until="2026-07-01", at="2020-01-01"))
    operated.tell(thread(keep_until=None, at=AT, metadata={"plan": "x"}))
    found = operated.drained()["conv_1"].thread
    assert found.keep_until == datetime(2027, 1, 1, tzinfo=UTC)
    assert found.last_active_at == datetime(2026, 5, 1, 8, tzinfo=UTC)


def test_a_time_that_was_never_set_is_taken_as_not_said_and_named(operated: Operated) -> None:
    zero = thread(at="0001-01-01T00:00:00Z", created_at=0, metadata={})
    for body in (zero, {"threads": [zero, thread()]}):
        status, answer = operated.tell(body)
        assert (status, answer["refused"]) == (202, [])
        assert [(one["index"], one["id"]) for one in answer["remarks"]] == [(0, "conv_1")] * 2
        assert "created_at is before 1973" in answer["remarks"][0]["reason"]
    found = operated.drained()["conv_1"].thread
    assert (found.created_at, found.last_active_at) == (None, NOW)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_end_of_keeping_is_for_ever_above_the_ceiling_and_refused_where_unreadable(
    operated: Operated, method: str
) -> None:
    path = "/main/conversation/conv_1" if method == "PATCH" else ""
    for value, status in (("12026-01-01", 202), ("31.12.2027", 422), (20271231, 422)):
        said = {"keep_until": value} if path else thread(keep_until=value)
        assert operated.tell(said, method, path)[0] == status
    assert operated.drained()["conv_1"].thread.keep_until == FOREVER


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_word_dated_before_the_first_sight_takes_nothing_away(
    operated: Operated, method: str
) -> None:
    operated.registry.registrations.add([Registration(KEY)], NOW - 9 * DAY)
    sight = Sightings(None, None, NOW, None, "item", NOW)
    operated.registry.settlements.settle([Settlement(KEY, NOW, sightings=sight, decided=True)])
    path = "/main/conversation/conv_1" if method == "PATCH" else ""
    early = {"at": "2020-01-01", "created_at": "2020-01-01", "metadata": {"plan": "x"}}
    said = early if path else thread(**early)
    assert operated.tell(said, method, path)[0] == 202
    found = operated.drained()["conv_1"].thread
    assert (found.created_at, found.last_active_at) == (None, NOW)
    assert found.reported == {"plan": "x"}


def test_tracking_delivers_here_and_drops_what_is_refused(operated: Operated) -> None:
    COUNTERS.forget()
    inbox = HttpInbox(f"http://r@127.0.0.1:{operated.port}")
    told = Told("main", Kind.CONVERSATION, "conv_1", NOW, NoticeEvent.REGISTER, NOW, {"plan": "ä'"})
    inbox.add([told, replace(told, project="nobody"), replace(told, id="conv_2")])
    assert COUNTERS.dropped == 1
    inbox.add([replace(told, project="nobody")])
    assert COUNTERS.dropped == 2
    found = operated.drained()
    assert set(found) == {"conv_1", "conv_2"}
    assert found["conv_1"].thread.reported == {"plan": "ä'"}


def test_a_registry_that_is_gone_asks_to_be_tried_again(operated: Operated) -> None:
    operated.registry.close()
    path = Path(operated.registry.name)
    path.unlink()
    path.mkdir()
    status, answer = operated.tell(thread())
    assert (status, answer["error"]) == (503, "the registry does not answer; try again")


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
THREAD = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.sampled_from(["conv_1", "main", AT]) for name in ThreadBody.model_fields
    },
)
BODY = st.one_of(
    st.binary(max_size=60),
    st.one_of(JSON, THREAD, st.fixed_dictionaries({"threads": JSON | st.lists(THREAD)})).map(
        lambda said: json.dumps(said).encode()
    ),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=SHARED_FIXTURE)
@given(body=BODY)
def test_no_body_is_a_fault_of_ours(operated: Operated, body: bytes) -> None:
    before = operated.registry.inbox.undrained()
    for method, path in (("POST", ""), ("PATCH", "/main/conversation/conv_1")):
        status, _ = operated.ask(f"/api/threads{path}", body, "r", method)
        assert status in {202, 400, 422}
    waiting = operated.registry.inbox.undrained() - before
    drained = operated.registry.inbox.drain(NOW)
    assert (drained.judged, drained.refused) == (waiting, 0), "what is accepted is believed"
