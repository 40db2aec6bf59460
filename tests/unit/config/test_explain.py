from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from janitor.config import load, parse
from janitor.config.explain import explain, may_overlap, warnings
from janitor.policy.rules import Selector
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
    assert "30d + 90d = 120d after the last activity; the next sweep removes it then" in text
    assert "at the latest that is 400d + 90d = 490d after creation" in text


def test_what_vanishes_from_a_source_is_said() -> None:
    sql = {"url": "sqlite:///app.db", "query": "SELECT id FROM chats", "watermark": None}
    text, _ = said(TRIAL, sources={"chats": {"sql": sql, "on_vanish": {"expire_after": "30d"}}})
    assert "source chats: what vanishes from it is due for deletion 30d later" in text
    assert "a daily sweep may remove 10 % of what has vanished" in text
    text, _ = said(TRIAL, sources={"chats": {"sql": sql}})
    assert "source chats: what vanishes from it is kept as ever" in text


@pytest.mark.parametrize(
    ("after", "share"), [("30d", "10 %"), ("7d", "28.6 %"), ("1d", "100 %"), ("1h", "100 %")]
)
def test_the_share_of_a_daily_sweep_is_done(after: str, share: str) -> None:
    policy = {**TRIAL, "archive": {"after": "1h", "keep_for": "1d"}, "delete": {"after": after}}
    assert f"may remove {share} of its threads" in said(policy)[0]


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
    assert "support never deletes but does not protect" in warned
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
        "lifetime.max ends threads at the server, but not their copies"
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
        "marks in the registry 2d after the last activity",
        "never deletes, and forbids",
        "keeps the 5 most recently active for each user_id",
        "no stage before 1d after creation",
        "mode enforce",
    ):
        assert part in text


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
    assert warned.startswith(f"{file}:{line}:5 legal: {word} stands above lifetime.max")


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
