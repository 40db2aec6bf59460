"""One file for each refusal, with the places and sentences that it must be answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from janitor.config import load
from janitor.errors import ConfigError, Refusal

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.yaml"))

SENTENCES = {
    "unknown keys": "unknown_*_key",
    "a condition that the language does not have": "unknown_condition_*",
    "keys documented but not built yet": "unbuilt_*",
    "duplicate keys": "duplicate_key*",
    "duplicate policy names": "duplicate_policy_name",
    "a stage earlier than the one before it": "*_before_*",
    "a policy with no stage, keep or keep_last": "no_stage",
    "an empty or missing match without default: true": "match_*",
    "exists: false alone": "absence_alone*",
    "two defaults for one kind": "two_defaults",
    "no keep_for anywhere for a policy that archives": "no_keep_for",
    "lifetime.min >= max": "lifetime_crossed",
    "a stage later than lifetime.max": "stage_after_lifetime",
    "a duration it cannot read": "duration_*",
    "a project that does not exist": "unknown_project",
    "a kind that does not exist": "unknown_kind*",
    "an environment variable that does not exist": "unknown_variable",
    "keys over the API's limits": "metadata_key_too_long",
    "values over the API's limits": "metadata_value_too_long",
    "more than 50,000 nodes counted with aliases expanded": "too_many_nodes",
    "a non-string scalar in metadata": "metadata_*",
    "inline secrets": "inline_*",
    "cron that is none": "schedule_cron_*",
    "a time zone that does not exist": "schedule_unknown_timezone",
    "cron and every, or neither": "schedule_[bn]*",
    "an open listener without tokens": "service_open_without_tokens",
    "more tokens than a rotation needs": "service_three_tokens",
    "a policy on metadata that the registry does not keep": "registry_keys_leave_out_*",
    "a pattern on metadata that the registry hashes": "registry_hash_under_glob",
    "inline tokens": "inline_token*",
}
"""What the policy language promises to refuse, and the files that hold it to that."""


def shown(refusal: Refusal) -> str:
    place = refusal.place
    assert place is not None
    path = f" {refusal.path}" if refusal.path else ""
    return f"{place.line}:{place.column}{path}: {refusal.message}"


def refusals_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    assert all(
        one.place is not None and one.place.file == str(path) for one in caught.value.refusals
    )
    return [shown(one) for one in caught.value.refusals]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_refused_file_is_answered_with_place_and_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JANITOR_TEST_KEY", "x")
    monkeypatch.delenv("JANITOR_TEST_ABSENT", raising=False)
    expected = path.with_suffix(".txt").read_text(encoding="utf-8")
    assert "\n".join(refusals_of(path)) + "\n" == expected


@pytest.mark.parametrize(("sentence", "pattern"), SENTENCES.items())
def test_every_promised_refusal_has_a_file(sentence: str, pattern: str) -> None:
    assert [path for path in FILES if path.match(f"{pattern}.yaml")], sentence


def test_every_expectation_has_a_file() -> None:
    stems = {path.stem for path in FILES}
    assert {path.stem for path in HERE.glob("*.txt")} == stems
