from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from janitor.config import parse
from janitor.config.fixtures import Difference, Fixture, load_fixtures, try_out
from janitor.errors import ConfigError
from janitor.model import Kind, State
from janitor.times import FOREVER

POLICIES = parse(
    {
        "version": 1,
        "registry": {},
        "projects": {"main": {"api_key": ""}},
        "policies": [
            {
                "name": "trial-chats",
                "match": {"metadata": {"plan": "trial"}},
                "archive": {"after": "7d", "keep_for": "90d"},
                "delete": {"after": "30d"},
                "keep_last": {"count": 1, "per": "metadata.user"},
            },
            {"name": "plain", "match": {"kind": "thread"}, "delete": {"after": "30d"}},
        ],
    }
).policies

THREAD = """
- name: a
  now: 2026-01-31T00:00:00Z
  thread: {kind: thread, created_at: 2026-01-01T00:00:00Z, last_active_at: "2026-01-01T00:00:00Z"}
  expect: {stage: delete}
"""


def loaded(tmp_path: Path, text: str) -> tuple[Fixture, ...]:
    path = tmp_path / "policies_test.yaml"
    path.write_text(text, encoding="utf-8")
    return load_fixtures(path)


def differences(tmp_path: Path, text: str) -> tuple[Difference, ...]:
    (fixture,) = loaded(tmp_path, text)
    return try_out(fixture, POLICIES)


def test_what_is_absent_is_unknown(tmp_path: Path) -> None:
    (fixture,) = loaded(tmp_path, THREAD)
    (thread,) = fixture.threads
    assert (thread.key.project, thread.key.kind, thread.key.id) == ("main", Kind.THREAD, "t")
    assert thread.created_at == thread.last_active_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert thread.state is State.ACTIVE
    assert thread.reported is thread.upstream is None
    assert (thread.items, thread.copy, thread.keep_until) == (None, None, None)


@pytest.mark.parametrize("state", ["archived", "soft_deleted"])
def test_metadata_stands_on_both_sides_and_a_copy_is_current(tmp_path: Path, state: str) -> None:
    more = f"metadata: {{plan: trial}}, state: {state}, items: 3, keep_until: forever, kind:"
    (fixture,) = loaded(tmp_path, THREAD.replace("kind:", more))
    (thread,) = fixture.threads
    assert thread.reported == thread.upstream == {"plan": "trial"}
    assert thread.copy is not None
    assert thread.copy_is_current
    assert thread.items == 3
    assert thread.keep_until == FOREVER


def test_times_mean_utc_and_offsets_count(tmp_path: Path) -> None:
    for spelled in ("2026-01-31", "2026-01-31 00:00:00", "2026-01-31T02:00:00+02:00"):
        for text in (spelled, f'"{spelled}"'):
            (fixture,) = loaded(tmp_path, THREAD.replace("2026-01-31T00:00:00Z", text))
            assert fixture.now == datetime(2026, 1, 31, tzinfo=UTC)


def test_a_thread_may_have_vanished_from_its_source(tmp_path: Path) -> None:
    more = "source: chats, vanished_at: 2026-01-02, metadata: {}, kind:"
    text = THREAD.replace("kind:", more).replace("stage: delete", "due_at: 2026-01-17")
    (fixture,) = loaded(tmp_path, text)
    expiring = replace(POLICIES, expire={"chats": timedelta(days=15)})
    assert try_out(fixture, expiring) == ()
    (difference,) = try_out(fixture, replace(POLICIES, expire={"mails": timedelta(days=15)}))
    assert difference.actual == "2026-01-31T00:00:00Z"


def test_what_vanished_names_where_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, THREAD.replace("kind:", "vanished_at: 2026-01-02, kind:"))
    (found,) = caught.value.refusals
    assert found.message == "name the `source` from which it vanished"


def test_a_met_expectation_differs_in_nothing(tmp_path: Path) -> None:
    expect = 'stage: delete, policy: plain, due_at: "2026-01-31T00:00:00Z"'
    unread = THREAD.replace("kind:", "metadata: {}, kind:")
    assert differences(tmp_path, unread.replace("stage: delete", expect)) == ()


def test_an_unmet_expectation_shows_both_sides(tmp_path: Path) -> None:
    text = THREAD.replace("kind:", "metadata: {}, kind:").replace(
        "stage: delete", "stage: none, reason: not_due, due_at: null"
    )
    assert differences(tmp_path, text) == (
        Difference("t", "due_at", "null", "2026-01-31T00:00:00Z"),
        Difference("t", "reason", "not_due", "null"),
        Difference("t", "stage", "none", "delete"),
    )


def test_unread_metadata_might_protect(tmp_path: Path) -> None:
    text = THREAD.replace("stage: delete", "stage: none, reason: unknown_metadata")
    assert differences(tmp_path, text) == ()


def test_a_group_is_ranked_as_a_whole(tmp_path: Path) -> None:
    day = "2026-01-0{}T00:00:00Z"
    threads = [
        {
            "id": name,
            "kind": "conversation",
            "created_at": day.format(1),
            "last_active_at": day.format(active),
            "metadata": {"plan": "trial", "user": user},
            "state": "archived",
        }
        for name, active, user in (("a", 1, "x"), ("b", 2, "x"), ("c", 1, "y"))
    ]
    kept = {"stage": "none", "reason": "keep_last"}
    fixture = {
        "name": "one of each",
        "now": "2026-03-01",
        "threads": threads,
        "expect": {"a": {"stage": "delete"}, "b": kept, "c": kept},
    }
    assert differences(tmp_path, yaml.safe_dump([fixture])) == ()


def test_a_hold_of_a_fixture_holds(tmp_path: Path) -> None:
    text = THREAD.replace("kind:", 'metadata: {case: "1"}, kind:').replace(
        "expect: {stage: delete}",
        'holds: [{metadata: {case: "1"}}]\n  expect: {stage: none, reason: hold}',
    )
    assert differences(tmp_path, text) == ()


@pytest.mark.parametrize(
    ("before", "after", "refusal"),
    [
        ("stage: delete", "", "5:11 [0].expect: an empty expectation"),
        ("stage: delete", "stage: vanish", "5:19 [0].expect.stage: unknown value `vanish`"),
        ("stage: delete", "stag: none", "5:12 [0].expect.stag: unknown key `stag`"),
        ("stage: delete", "reason: because", "5:20 [0].expect.reason: unknown value `because`"),
        ("{kind: thread", "{kind: thred", "4:18 [0].thread.kind: unknown value `thred`"),
        (
            "{kind",
            "{metadata: {a: no}, kind",
            'metadata.a: must be text: write "no"',
        ),
        ("2026-01-31T00:00:00Z", "tomorrow", "3:8 [0].now: write a time"),
        ("thread: {", "thraed: {", "[0].thraed: unknown key `thraed`"),
    ],
)
def test_a_fixture_is_read_as_strictly_as_a_configuration(
    tmp_path: Path, before: str, after: str, refusal: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, THREAD.replace(before, after))
    assert refusal in "\n".join(map(str, caught.value.refusals))


def test_expectations_and_threads_must_meet(tmp_path: Path) -> None:
    text = """
- name: a
  now: 2026-01-31
  threads: [{id: a, kind: thread}, {id: a, kind: thread}]
  expect: {b: {stage: none}}
"""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    shown = [str(refusal).partition(" ")[2] for refusal in caught.value.refusals]
    assert shown == [
        "[0].threads[1]: two threads have the id a",
        "[0].expect.b: this fixture has no thread b",
    ]
