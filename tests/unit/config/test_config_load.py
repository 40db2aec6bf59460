from __future__ import annotations

import random
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from janitor.config import load, parse
from janitor.config.secrets import NO_SECRET, Keeper, Secret
from janitor.errors import ConfigError
from janitor.model import Kind, Mode
from janitor.policy import Policies, policies_digest
from janitor.policy.matching import Match, Matcher, Views
from janitor.policy.rules import (
    AgeFrom,
    ArchiveRule,
    Delete,
    DeletionMark,
    Items,
    KeepLast,
    Lifetime,
    Limits,
    Policy,
    Selector,
    SoftDelete,
)
from janitor.policy.rules import Test as MetadataTest
from janitor.policy.stored_metadata import MetadataFilter
from janitor.registry import Registration
from janitor.sources.files import read

DAY = timedelta(days=1)
KEY = {"api_key": {"env": "JANITOR_TEST_KEY"}}


def mapping(**changes: object) -> dict[str, Any]:
    least = {"version": 1, "registry": {}, "projects": {"main": KEY}, "policies": []}
    return {**least, **changes}


FULL = {
    "name": "support",
    "match": {
        "kind": ["conversation", "thread"],
        "project": "main",
        "metadata": {
            "plan": "trial",
            "channel": ["web", "mobile"],
            "ticket": {"exists": False},
            "tenant": {"glob": "acme-*"},
        },
    },
    "except": {"metadata": {"pinned": "true"}},
    "age_from": "created",
    "archive": {"after": "7d", "items": 50, "keep_for": "90d"},
    "soft_delete": {"after": "20d", "mark": "upstream"},
    "delete": {"after": "30d", "items": "keep"},
    "keep_last": {"count": 5, "per": "metadata.user_id"},
    "limits": {"max_percent": 40},
    "mode": "audit",
}


def test_a_whole_policy_is_read_as_written() -> None:
    (rule,) = parse(mapping(policies=[FULL])).policies.rules
    assert rule == Policy(
        name="support",
        match=Selector(
            kinds=frozenset({Kind.CONVERSATION, Kind.THREAD}),
            projects=frozenset({"main"}),
            metadata={
                "plan": MetadataTest(any_of=frozenset({"trial"})),
                "channel": MetadataTest(any_of=frozenset({"web", "mobile"})),
                "ticket": MetadataTest(exists=False),
                "tenant": MetadataTest(glob="acme-*"),
            },
        ),
        excepts=Selector(metadata={"pinned": MetadataTest(any_of=frozenset({"true"}))}),
        age_from=AgeFrom.CREATED,
        archive=ArchiveRule(7 * DAY, 50, 90 * DAY),
        soft_delete=SoftDelete(20 * DAY, DeletionMark.UPSTREAM),
        delete=Delete(30 * DAY, Items.KEEP),
        keep_last=KeepLast(5, "user_id"),
        max_percent=40.0,
        mode=Mode.AUDIT,
    )


def test_what_is_not_said_has_its_default() -> None:
    config = parse(mapping())
    main = config.projects["main"]
    assert config.policies.mode is Mode.AUDIT
    assert config.policies.limits == Limits()
    assert config.policies.lifetime == Lifetime()
    assert config.policies.release_grace == 7 * DAY
    assert config.tombstones_keep_for == 400 * DAY
    assert config.registry.url == "sqlite:///janitor.db"
    assert config.archive.url == "file://archive"
    assert main.base_url == "https://api.openai.com/v1"
    assert main.kinds == frozenset(Kind)
    assert (main.timeout, main.concurrency) == (timedelta(seconds=20), 32)
    assert main.trust_reported
    assert not main.allow_http


def test_the_short_forms_of_never_and_forever() -> None:
    rules = parse(
        mapping(
            archive={"keep_for": "1y"},
            policies=[
                {"name": "a", "match": {"kind": "thread"}, "delete": "never"},
                {"name": "b", "match": {"project": ["main"]}, "keep": "forever"},
                {
                    "name": "c",
                    "default": True,
                    "archive": {"items": 3, "keep_for": "forever"},
                },
                {"name": "d", "match": {"kind": "thread"}, "archive": {"after": "1d"}},
            ],
        )
    ).policies.rules
    assert rules[0].delete == Delete(None)
    assert rules[1].keep_forever
    assert rules[2].archive == ArchiveRule(None, 3, None)
    assert rules[3].archive == ArchiveRule(DAY, None, 365 * DAY)


@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_never_matters(source: random.Random) -> None:
    def shuffled(value: object) -> object:
        if not isinstance(value, dict):
            return value
        keys = list(value)
        source.shuffle(keys)
        return {key: shuffled(value[key]) for key in keys}

    document = mapping(policies=[FULL], lifetime={"min": "1d", "max": "400d"})
    other = shuffled(document)
    assert isinstance(other, dict)
    assert parse({**other, "policies": [shuffled(FULL)]}) == parse(document)


def test_relative_paths_are_taken_from_the_files_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    path = Path("conf/janitor.yaml")
    project = {"api_key": {"file": "key"}}
    path.write_text(yaml.safe_dump(mapping(projects={"main": project})))
    config = load(path)
    directory = tmp_path / "conf"
    assert config.directory == directory
    assert config.path == directory / "janitor.yaml"
    assert config.registry.path == directory / "janitor.db"
    assert config.registry.url == f"sqlite:///{directory}/janitor.db"
    assert config.archive.path == directory / "archive"
    assert config.archive.url == f"file://{directory}/archive"
    assert config.projects["main"].api_key == Secret(Keeper.FILE, str(directory / "key"))


def test_absolute_paths_stay() -> None:
    config = parse(
        mapping(registry={"url": "sqlite:////var/j.db"}, archive={"url": "file:///var/a"}),
        directory=Path("/etc/janitor"),
    )
    assert config.registry.path == Path("/var/j.db")
    assert config.archive.path == Path("/var/a")


@pytest.mark.parametrize(
    ("project", "accepted"),
    [
        ({"base_url": "https://example.com/v1/"}, True),
        ({"base_url": "http://127.0.0.1:8080/v1"}, True),
        ({"base_url": "http://[::1]:8080"}, True),
        ({"base_url": "http://localhost:1"}, True),
        ({"base_url": "http://10.0.0.1"}, False),
        ({"base_url": "http://localhost.example.com"}, False),
        ({"base_url": "http://10.0.0.1", "allow_http": True}, True),
        ({"azure": {"endpoint": "http://example.com", "api_version": "1"}}, False),
        ({"azure": {"endpoint": "https://example.com", "api_version": "1"}}, True),
        ({"base_url": "ftp://example.com"}, False),
        ({"base_url": "https://"}, False),
        ({"base_url": "https://[::1"}, False),
    ],
)
def test_a_key_never_travels_unencrypted(project: dict[str, object], accepted: bool) -> None:
    document = mapping(projects={"main": {**KEY, **project}})
    if accepted:
        assert "main" in parse(document).projects
        return
    with pytest.raises(ConfigError):
        parse(document)


def test_defaults_of_different_kinds_or_projects_stand_side_by_side() -> None:
    defaults = [
        {"name": "a", "default": True, "match": {"kind": "thread"}, "delete": {"after": "1d"}},
        {"name": "b", "default": True, "match": {"kind": "conversation"}, "keep": "forever"},
    ]
    assert len(parse(mapping(policies=defaults)).policies.rules) == 2


def test_a_positive_clause_lets_an_absence_stand() -> None:
    match = {"metadata": {"ticket": {"exists": False}, "plan": "trial"}}
    policy = {"name": "a", "match": match, "delete": {"after": "1d"}}
    assert parse(mapping(policies=[policy])).policies.rules


def test_no_key_is_written_as_an_empty_text(tmp_path: Path) -> None:
    path = tmp_path / "janitor.yaml"
    path.write_text(yaml.safe_dump(mapping(projects={"main": {"api_key": ""}})))
    assert load(path).projects["main"].api_key == NO_SECRET
    path.write_text(path.read_text().replace("''", ""))
    with pytest.raises(ConfigError):
        load(path)


def test_a_refusal_quotes_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "janitor.yaml"
    for text in ("hunter2", "0123456", "{env: hunter2-x}", "2026-01-01", "!!int hunter2"):
        path.write_text(f"projects: {{main: {{api_key: {text}}}}}\n")
        with pytest.raises(ConfigError) as caught:
            load(path)
        shown = "".join(map(str, caught.value.refusals))
        assert "hunter2" not in shown
        assert "0123456" not in shown


def test_variables_are_only_asked_for_where_secrets_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JANITOR_TEST_KEY", raising=False)
    path = tmp_path / "janitor.yaml"
    path.write_text(yaml.safe_dump(mapping()))
    assert load(path, environment=False).projects
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "JANITOR_TEST_KEY is missing" in str(caught.value.refusals[0])


def test_keys_that_are_no_text_are_refused_without_a_file_too() -> None:
    odd: dict[Any, Any] = {1: 2}
    for document in (mapping() | odd, mapping(policies=[FULL | odd])):
        with pytest.raises(ConfigError) as caught:
            parse(document)
        assert "unknown key `1`" in str(caught.value.refusals[0])


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def test_places_are_only_known_of_files() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(mapping(mode="enforced"))
    (refusal,) = caught.value.refusals
    assert str(refusal) == "mode: unknown value `enforced`; did you mean `enforce`?"


@given(st.dictionaries(st.sampled_from([*mapping(), *FULL, "lifetime", "holds"]), JUNK))
def test_any_mapping_is_accepted_or_refused(changes: dict[str, object]) -> None:
    for document in (mapping(**changes), mapping(policies=[{**FULL, **changes}])):
        try:
            parse(document)
        except ConfigError as error:
            assert error.refusals  # noqa: PT017 - nearly all junk is refused


@pytest.mark.parametrize(
    "url",
    ["postgresql+psycopg://me:@/db?host=/run/pg", "postgresql+psycopg://me:@db/app?password="],
)
def test_an_empty_password_in_an_address_is_none(url: str) -> None:
    said = {"url": url, "watermark": None, "query": "SELECT 1 AS id"}
    config = parse(mapping(registry={"url": url}, sources={"chats": {"sql": said}}))
    assert config.registry.url == config.sources["chats"].sql.url == url


@pytest.mark.parametrize("user", ["u-17", ["u-17", "u-18"], {"glob": "u-*"}, {"exists": True}])
def test_user_is_the_metadata_key_that_an_import_stores(user: object) -> None:
    def policies(selector: dict[str, object], per: str) -> Policies:
        rule = {"name": "p", "match": selector, "keep_last": {"count": 1, "per": per}}
        others = [{"kind": "thread"}, selector]
        return parse(mapping(policies=[{**rule, "except": others}])).policies

    given = policies({"user": user}, "user")
    assert given == policies({"metadata": {"user": user}}, "metadata.user")
    assert policies_digest(given) == policies_digest(policies({"metadata": {"user": user}}, "user"))
    imported = read(StringIO('{"id": "conv_1", "user": "u-17"}'), "jsonl", ("main",), "x.jsonl")
    (said,) = (one for one in imported if isinstance(one, Registration))
    found = Matcher.of(given.rules[0].match)
    assert found.match(said.key, Views(said.metadata or {}, ()), protecting=False) is Match.YES


def test_a_hashed_user_is_compared_with_its_hash() -> None:
    registry = {"keys": ["user"], "hash": ["user"], "hash_key": {"env": "JANITOR_TEST_KEY"}}
    rule = {"name": "p", "match": {"user": "u-17"}, "delete": {"after": "1d"}}
    given = parse(mapping(registry=registry, policies=[rule])).policies
    screen = MetadataFilter(frozenset({"user"}), frozenset({"user"}), b"s" * 32)
    (stored,) = screen.policies(given).rules
    wanted = frozenset({screen.value("user", "u-17")})
    assert stored.match.metadata == {"user": MetadataTest(any_of=wanted)}
