from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from janitor.config import load, parse
from janitor.config.explain import explain, warnings
from janitor.policy.overlap import threads_of_both
from janitor.policy.rules import Policy, Selector
from janitor.policy.rules import Test as MetadataTest

TRIAL = {
    "name": "trial-chats",
    "match": {"metadata": {"plan": "trial"}},
    "archive": {"after": "7d", "keep_for": "90d"},
    "delete": {"after": "30d"},
}
SUPPORT = {
    "name": "support",
    "match": {"metadata": {"team": "support"}},
    "archive": {"after": "7d", "keep_for": "90d"},
}


def may_overlap(one: Selector, other: Selector) -> bool:
    return any(threads_of_both(Policy("one", one), Policy("other", other)))


def said(*policies: dict[str, Any], **sections: object) -> tuple[str, str]:
    document = {
        "version": 1,
        "registry": {},
        "projects": {"main": {"api_key": ""}},
        "policies": list(policies),
        **sections,
    }
    explanation = explain(parse(document))
    sentences = [one for says in explanation.policies.values() for one in says]
    return "\n".join([*explanation.summary, *sentences]), "\n".join(explanation.warnings)


def test_the_sum_of_upstream_and_archive_is_done() -> None:
    text, _ = said(TRIAL, lifetime={"max": "400d"})
    assert "upstream until 30d after the last activity" in text
    assert "30d + 90d = 120d after the last activity; the next sweep then removes it" in text
    assert "that is at most 400d + 90d = 490d after creation" in text


def test_what_vanishes_from_a_source_is_said() -> None:
    sql = {"url": "sqlite:///app.db", "query": "SELECT id FROM chats", "watermark": None}
    text, _ = said(TRIAL, sources={"chats": {"sql": sql, "on_vanish": {"expire_after": "30d"}}})
    assert "source chats: a thread that vanishes from it is due for deletion 30d later" in text
    assert "a daily sweep may remove 10 % of the vanished threads" in text
    text, _ = said(TRIAL, sources={"chats": {"sql": sql}})
    assert "source chats: threads that vanish from it are kept" in text


@pytest.mark.parametrize(
    ("condition", "is_known"), [("at > :watermark", True), ("NOT (at <= :watermark)", False)]
)
def test_a_condition_that_hides_rows_is_said_where_they_would_vanish(
    condition: str, is_known: bool
) -> None:
    query = f"SELECT id, at FROM chats WHERE {condition}"  # noqa: S608
    sql = {"url": "sqlite:///app.db", "query": query, "watermark": "at"}
    text, _ = said(TRIAL, sources={"chats": {"sql": sql, "on_vanish": {"expire_after": "30d"}}})
    assert ("no thread counts as vanished" in text) is not is_known
    assert ("write the condition as `at > :watermark`" in text) is not is_known
    assert "no thread counts" not in said(TRIAL, sources={"chats": {"sql": sql}})[0]


@pytest.mark.parametrize(
    ("after", "share"),
    [
        ("30d", "10 % of its threads (its normal turnover is about 3.33 % a day)"),
        ("20d", "10 % of its threads (its normal turnover is about 5 % a day)"),
        ("7d", "28.6 % of its threads (twice its normal turnover of about 14.3 % a day)"),
        ("2d", "all of its threads (max_percent does not apply: they are normally removed after"),
        ("1h", "all of its threads (max_percent does not apply: they are normally removed after"),
    ],
)
def test_the_share_of_a_daily_sweep_is_done(after: str, share: str) -> None:
    policy = {**TRIAL, "archive": {"after": "1h", "keep_for": "1d"}, "delete": {"after": after}}
    told = said(policy)[0]
    assert f"may remove {share}" in told
    assert ",800 %" not in told
    assert "e+" not in told


def test_those_that_keep_last_keeps_are_excepted_from_the_dates() -> None:
    text, _ = said({**TRIAL, "keep_last": {"count": 5}})
    assert "upstream until 30d after the last activity, except for those kept" in text
    assert "= 120d after the last activity, except for those kept; the next sweep" in text
    assert "except for those kept" not in said(TRIAL)[0]


def test_a_policys_own_share_counts() -> None:
    assert "40 % of its threads" in said({**TRIAL, "limits": {"max_percent": 40}})[0]


def test_deleting_without_undo_is_said_in_words() -> None:
    bare = {"name": "a", "match": {"kind": "thread"}, "delete": {"after": "30d"}}
    text, warned = said(bare)
    assert "without undo" in text
    assert "a deletes without undo" in warned
    marked = {**bare, "soft_delete": {"after": "20d"}}
    assert "without undo" not in "".join(said(marked))


def test_a_policy_that_only_does_not_delete_is_no_protection() -> None:
    warned = said(TRIAL, SUPPORT)[1]
    assert "support never deletes, but does not protect" in warned
    assert "write `delete: never` to protect" in warned
    assert said(TRIAL, {**SUPPORT, "delete": "never"})[1] == ""
    assert said(TRIAL, {**SUPPORT, "match": {"metadata": {"plan": "paid"}}})[1] == ""


def test_counts_say_how_many_are_not_protected() -> None:
    document = {
        "version": 1,
        "registry": {},
        "projects": {"main": {"api_key": ""}},
        "policies": [TRIAL, SUPPORT],
    }
    policies = parse(document).policies
    (warned,) = warnings(policies, {("support", "trial-chats"): 212})
    assert "212 of its threads are deleted by trial-chats" in warned
    assert list(warnings(policies, {})) == []


def test_what_can_do_nothing_is_warned_of() -> None:
    keeps = {**TRIAL, "keep": "forever"}
    reserved = {**SUPPORT, "match": {"metadata": {"janitor_created_at": "x"}}}
    forever = {**TRIAL, "archive": {"after": "7d", "keep_for": "forever"}}
    assert "keep wins" in said(keeps)[1]
    assert "janitor_ keys never match" in said(reserved)[1]
    assert (
        "lifetime.max deletes threads at the server, but not their copies"
        in said(forever, lifetime={"max": "400d"})[1]
    )
    assert "no policies" in said()[1]


def test_every_clause_is_told() -> None:
    policy = {
        "name": "a",
        "match": {
            "kind": "thread",
            "project": "main",
            "metadata": {"plan": ["x", "y"], "t": {"exists": False}, "g": {"glob": "a-*"}},
        },
        "except": {"metadata": {"pinned": {"exists": True}}},
        "archive": {"after": "1d", "items": 50, "keep_for": "forever"},
        "soft_delete": {"after": "2d"},
        "delete": "never",
        "keep_last": {"count": 5, "per": "metadata.user_id"},
    }
    text, _ = said(policy, lifetime={"min": "24h"}, mode="enforce")
    for part in (
        "thread of main with plan = x or y and no t and g like a-*, except threads with pinned",
        "copies at 50 items or 1d after the last activity, whichever comes first",
        "soft-deletes in the registry 2d after the last activity",
        "never deletes, and stops other policies",
        "keeps the 5 most recently active for each user_id",
        "no stage earlier than 1d after creation",
        "mode enforce",
    ):
        assert part in text


def test_alternatives_are_told() -> None:
    match = {"project": "main", "any": [{"kind": "thread"}, {"metadata": {"plan": "trial"}}]}
    excepts = [{"metadata": {"pinned": "true"}}, {"metadata": {"vip": {"exists": True}}}]
    text, _ = said({**TRIAL, "match": match, "except": excepts})
    either = "threads of main that are any of (thread; threads with plan = trial)"
    assert f"{either}, except any of (threads with pinned = true; threads with vip)" in text
    assert "applies to any of (thread; " in said({**TRIAL, "match": {"any": match["any"]}})[0]


def test_an_early_copy_is_told_and_meant() -> None:
    early = {**SUPPORT, "archive": {"items": 50, "at": "earliest", "keep_for": "90d"}}
    text, warned = said(TRIAL, early)
    assert "copies at 50 items, even if other policies copy later" in text
    assert warned == ""


def test_what_stands_beside_the_default_is_told() -> None:
    rest = {"name": "rest", "default": True, "delete": {"after": "1y"}}
    text, warned = said({**SUPPORT, "beside_default": True}, rest)
    assert "`default: true` policies apply to them as well" in text
    assert "threads that no other policy matches (apart from support)" in text
    assert "beside_default" not in warned
    assert "support: `beside_default` does nothing" in said({**SUPPORT, "beside_default": True})[1]
    assert "apart from" not in said(SUPPORT, rest)[0]


def test_a_list_of_one_except_is_that_except() -> None:
    pinned = {"metadata": {"pinned": "true"}}
    one, other = ({**TRIAL, "except": excepts} for excepts in (pinned, [pinned]))
    assert said(one) == said(other)


def test_selectors_with_alternatives_meet_where_one_of_them_does() -> None:
    one, other, third = (
        Selector(metadata={"plan": MetadataTest(any_of=frozenset({plan}))}) for plan in "xyz"
    )
    either = Selector(any_of=(one, other))
    assert may_overlap(either, other)
    assert may_overlap(other, either)
    assert not may_overlap(either, third)
    assert not may_overlap(replace(third, any_of=(one, other)), one)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (MetadataTest(any_of=frozenset("a")), MetadataTest(any_of=frozenset("ab")), True),
        (MetadataTest(any_of=frozenset("a")), MetadataTest(any_of=frozenset("b")), False),
        (MetadataTest(any_of=frozenset("a")), MetadataTest(exists=False), False),
        (MetadataTest(glob="a*"), MetadataTest(exists=True), True),
    ],
)
def test_selectors_that_share_a_key_may_shut_each_other_out(
    one: MetadataTest, other: MetadataTest, expected: bool
) -> None:
    selectors = Selector(metadata={"k": one}), Selector(metadata={"k": other})
    assert may_overlap(*selectors) is expected
    assert may_overlap(*reversed(selectors)) is expected


@pytest.mark.parametrize(
    ("lines", "line", "word"),
    [("keep: forever", 12, "`keep: forever`"), ("delete: never", 12, "`delete: never`")],
)
def test_the_ceiling_names_what_stands_above_it_and_who_says_so(
    tmp_path: Path, lines: str, line: int, word: str
) -> None:
    file = tmp_path / "janitor.yaml"
    file.write_text(CLASHING.format(lines=lines), encoding="utf-8")
    told = explain(load(file))
    [promise] = [one for one in told.summary if "due for deletion" in one]
    assert "400d after creation" in promise
    assert "whatever" not in promise
    for above in ("holds", "`keep: forever`", "`delete: never`", "unknown metadata"):
        assert above in promise
    [warned] = [one for one in told.warnings if "lifetime.max" in one]
    assert warned.startswith(f"{file}:{line}:5 legal: {word} overrides lifetime.max")


def test_without_a_ceiling_nothing_stands_above_it() -> None:
    assert "lifetime.max" not in said({**TRIAL, "delete": "never"})[1]


CLASHING = """\
version: 1
registry: {{url: "sqlite:///janitor.db"}}
projects: {{main: {{api_key: ""}}}}
lifetime: {{max: 400d}}
policies:
  - name: trial
    match: {{metadata: {{plan: trial}}}}
    delete: {{after: 30d}}

  - name: legal
    match: {{metadata: {{department: legal}}}}
    {lines}
"""
