from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from janitor.config import load
from janitor.config.json_schema import file_schema
from janitor.config.starter import starter
from janitor.config.unbuilt import UNBUILT
from janitor.errors import ConfigError
from janitor.rate_limit.limiter import GROWTH, STARTS, Verb

REFUSED = Path(__file__).parents[2] / "refused"
SHAPE = (
    "unknown_*_key",
    "unknown_condition_*",
    "unknown_key_in_except",
    "unbuilt_[!ra]*",
    "registry_keys_not_listed",
    "registry_hash_key_inline",
    "duration_[!z]*",
    "inline_secret",
    "[prva]*_missing",
    "mode_unknown",
    "unknown_kind*",
    "delete_unknown",
    "schedule_unknown_key",
    "inline_token*",
    "service_token_*scope",
)
SCHEMA = file_schema()


def is_valid(document: Any) -> bool:  # noqa: ANN401 - any document may be asked about
    return Draft202012Validator(SCHEMA).is_valid(document)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_starter_is_accepted_by_schema_and_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    path = tmp_path / "janitor.yaml"
    path.write_text(starter(), encoding="utf-8")
    assert is_valid(yaml.safe_load(starter()))
    assert [rule.name for rule in load(path).policies.rules] == ["everything-else"]


def test_the_starter_spells_out_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    spelled, bare = tmp_path / "spelled.yaml", tmp_path / "bare.yaml"
    spelled.write_text(starter(), encoding="utf-8")
    document = yaml.safe_load(starter())
    least = {key: document[key] for key in ("version", "registry", "policies")}
    least["projects"] = {"main": {"api_key": {"env": "OPENAI_API_KEY"}}}
    least["archive"] = {"url": document["archive"]["url"], "keep_for": "90d"}
    bare.write_text(yaml.safe_dump(least), encoding="utf-8")
    one, other = load(spelled), load(bare)
    assert (one.policies, one.projects, one.archive) == (
        other.policies,
        other.projects,
        other.archive,
    )
    assert one.tombstones_keep_for == other.tombstones_keep_for
    assert (one.schedule, one.service) == (other.schedule, other.service)


def keys(node: Any, at: str = "") -> set[str]:  # noqa: ANN401 - a document's node
    if not isinstance(node, dict):
        return set()
    here = {f"{at}{key}" for key in node}
    return here.union(*(keys(child, f"{at}{key}.") for key, child in node.items()))


def test_the_starter_names_every_key_outside_of_policies() -> None:
    definitions = SCHEMA["$defs"]
    named = keys(yaml.safe_load(starter()))
    sections = {
        "": SCHEMA["properties"],
        "projects.main.": definitions["ProjectForm"]["properties"],
        "limits.": definitions["LimitsForm"]["properties"],
        "archive.": definitions["ArchiveStoreForm"]["properties"],
        "lifetime.": definitions["LifetimeForm"]["properties"],
        "schedule.": definitions["ScheduleForm"]["properties"],
        "service.": definitions["ServiceForm"]["properties"],
    }
    wanted = {at + key for at, properties in sections.items() for key in properties}
    assert wanted - named == {"projects.main.azure", "schedule.every"}


def test_the_starter_tells_how_auto_starts_and_grows() -> None:
    told = " ".join(starter().replace("#", " ").split())
    said = re.findall(
        r"Deletes and writes start at (\d+) a minute, reads at (\d+); each adds a fifth a minute",
        told,
    )
    assert said == [(f"{STARTS[Verb.DELETE]:g}", f"{STARTS[Verb.READ]:g}")]
    assert (STARTS[Verb.WRITE], GROWTH) == (STARTS[Verb.DELETE], 1.2)


def test_the_commented_policies_of_the_starter_are_good_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    head, _, more = starter().partition("# More examples; to use one, move it into the list:\n")
    path = tmp_path / "janitor.yaml"
    path.write_text(head + more.replace("#  ", "  "), encoding="utf-8")
    assert len(load(path).policies.rules) == 3


def test_the_commented_source_of_the_starter_is_good_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "APP_DATABASE_URL"):
        monkeypatch.setenv(name, "x")
    path = tmp_path / "janitor.yaml"
    head, _, rest = starter().partition("sources: {}")
    stanza, _, rest = rest.partition("\n\n")
    stanza = stanza.partition("\n")[2].replace("#  ", "  ")
    path.write_text(f"{head}sources:\n{stanza}\n\n{rest}", encoding="utf-8")
    assert is_valid(yaml.safe_load(path.read_text(encoding="utf-8")))
    (source,) = load(path).sources.values()
    assert (source.name, source.project, source.expire_after) == ("chats", "main", None)
    assert source.sql.watermark == "updated_at"


@pytest.mark.parametrize(
    "path",
    sorted({path for pattern in SHAPE for path in REFUSED.glob(f"{pattern}.yaml")}),
    ids=lambda path: path.stem,
)
def test_the_schema_refuses_what_has_the_wrong_shape(path: Path) -> None:
    assert not is_valid(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_every_unbuilt_key_has_a_refused_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANITOR_TEST_KEY", "x")
    paths = set()
    for path in REFUSED.glob("unbuilt_*.yaml"):
        with pytest.raises(ConfigError) as caught:
            load(path)
        paths |= {refusal.path for refusal in caught.value.refusals}
    assert {pattern.replace(".*.trim", "[0].trim") for pattern in UNBUILT} <= paths
