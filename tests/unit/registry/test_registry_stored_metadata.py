"""What is kept of metadata: nothing else enters, and a change of that never blinds a protection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from janitor.errors import ConfigError
from janitor.model import Hold, Key, Kind
from janitor.policy.codec import dump, load
from janitor.policy.rules import Policies, Policy, Selector
from janitor.policy.rules import Test as Asked
from janitor.policy.stored_metadata import OPEN, MetadataFilter
from janitor.registry import InboxNotice, Registration, Registry, Settlement
from janitor.registry.stored_metadata import StoredMetadata

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SECRET = b"s" * 32
HASHING = MetadataFilter(frozenset({"plan", "user_id"}), frozenset({"user_id"}), SECRET)
RAW = ("alice@example.com", "flat 7")
SAID = {"plan": "trial", "user_id": RAW[0], "address": RAW[1], "janitor_keep_until": "forever"}
STORED = HASHING.metadata(SAID)


def key(id: str) -> Key:
    return Key("main", Kind.CONVERSATION, id)


def registration(id: str) -> Registration:
    return Registration(key(id), NOW - timedelta(days=9), NOW, metadata=SAID)


def everything(registry: Registry) -> str:
    """Every value of every table."""
    with registry.store.reading() as connection:
        names = connection.dialect.get_table_names(connection)
        rows = [
            str(row)
            for name in names
            for row in connection.execute(text(f'SELECT * FROM "{name}"')).all()  # noqa: S608
        ]
    return "\n".join(rows)


def assert_nothing_raw(registry: Registry, *raw: str) -> None:
    found = everything(registry)
    assert STORED["user_id"] in found  # it is the right place to look in
    assert not [one for one in raw or RAW if one in found]


@contextmanager
def opened(url: str, screen: MetadataFilter | None = HASHING) -> Iterator[Registry]:
    with Registry.open(url, screen=screen) as registry:
        yield registry


def filled(registry: Registry) -> None:
    """Everything that metadata may enter by."""
    registry.registrations.add([registration("a")], NOW)
    notice = InboxNotice("main", "conversation", "b", NOW, metadata=SAID)
    registry.inbox.append([notice, replace(notice, id="c", kind="nonsense")])
    registry.inbox.drain(NOW)
    settlement = Settlement(key("a"), NOW, upstream=SAID, reported=STORED)
    registry.settlements.settle([settlement])
    registry.scans.take("round", [registration("d")], NOW, cursor="1")
    registry.holds.add(Hold("h", "why", metadata={"user_id": RAW[0]}), NOW)


def test_nothing_enters_that_is_not_to_be_kept(url: str) -> None:
    with opened(url) as registry:
        filled(registry)
        for name in ("a", "b", "d"):
            entry = registry.threads.get(key(name))
            assert entry is not None
            assert entry.thread.reported == STORED
        assert_nothing_raw(registry)


def test_no_file_of_a_registry_ever_held_it(sqlite_url: str, tmp_path: Path) -> None:
    with opened(sqlite_url) as registry:
        filled(registry)
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert {"janitor.db", "janitor.db-wal"} <= set(files)
        for said in files.values():
            assert not [one for one in RAW if one.encode() in said]


def test_what_applications_wrote_leaves_the_inbox_when_it_is_drained(url: str) -> None:
    with opened(url, OPEN) as registry:  # as an application inserts it, past the janitor
        registry.inbox.append([InboxNotice("main", "conversation", "b", NOW, metadata=SAID)])
    with opened(url) as registry:
        assert registry.inbox.undrained() == 1
        registry.inbox.drain(NOW)
        assert_nothing_raw(registry)


def test_values_are_looked_for_as_a_person_knows_them(url: str) -> None:
    with opened(url) as registry:
        filled(registry)
        assert {
            e.thread.key.id for e in registry.threads.select(metadata={"user_id": RAW[0]})
        } == set("abd")
        assert not list(registry.threads.select(metadata={"user_id": "bob"}))
        assert registry.threads.count_labelled({"user_id": RAW[0], "plan": "trial"}) == 3
        assert {one.thread.key.id for one in registry.threads.group("user_id", RAW[0])} == set(
            "abd"
        )
        assert {
            one.thread.key.id for one in registry.threads.group("user_id", STORED["user_id"])
        } == set("abd")
        (hold,) = registry.holds.recent(NOW)
        assert hold.metadata == {"user_id": STORED["user_id"]}


def test_what_is_not_stored_cannot_be_asked_for(url: str) -> None:
    with opened(url) as registry:
        with pytest.raises(ConfigError, match="'address' is not stored"):
            list(registry.threads.select(metadata={"address": "x"}))
        with pytest.raises(ConfigError, match="'address' is not stored"):
            registry.holds.add(Hold("h", "why", metadata={"address": "x"}), NOW)
        assert registry.holds.recent(NOW) == ()


def test_an_export_comes_back_as_it_was(url: str) -> None:
    with opened(url) as registry:
        registry.registrations.add([registration("a")], NOW)
        (entry,) = registry.threads.select()
        again = registry.registrations.add(
            [Registration(key("a"), metadata=entry.thread.reported)], NOW
        )
        assert again.unchanged == 1
        assert registry.registrations.compare([registration("a")]).unchanged == 1


def test_what_was_stored_before_is_brought_over(url: str) -> None:
    said = Policies((Policy("p", Selector(metadata={"user_id": Asked(frozenset({RAW[0]}))})),))
    with opened(url, OPEN) as registry:
        filled(registry)
        registry.policies.approve(dump(said), "digest", actor="a", reason="r", now=NOW)
        assert not [one for one in RAW if one not in everything(registry)]
    with opened(url) as registry:
        assert_nothing_raw(registry)
        found = registry.threads.select(metadata={"user_id": RAW[0]})
        assert {entry.thread.key.id for entry in found} == set("abd")
        approval = registry.policies.approval()
        assert approval is not None
        assert load(approval.document) == HASHING.policies(said)


def test_a_file_holds_nothing_of_it_afterwards(sqlite_url: str, tmp_path: Path) -> None:
    with opened(sqlite_url, OPEN) as registry:
        filled(registry)
        with opened(sqlite_url) as other:
            assert_nothing_raw(other)
            for path in tmp_path.iterdir():
                assert RAW[0].encode() not in path.read_bytes(), path


def test_a_pass_that_was_cut_short_is_done_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(url, OPEN) as registry:
        filled(registry)
    with monkeypatch.context() as patched:
        patched.setattr(StoredMetadata, "_screen_rest", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Registry.open(url, screen=HASHING).close()
    with pytest.raises(ConfigError, match="janitor db upgrade"):
        Registry.open(url, screen=HASHING, read_only=True).close()
    with opened(url) as registry:
        assert_nothing_raw(registry)


def test_who_knew_other_words_lets_no_metadata_in_any_more(url: str) -> None:
    with opened(url, OPEN) as old:
        filled(old)
        with opened(url):
            pass
        for enter in (
            lambda: old.registrations.add([registration("x")], NOW),
            lambda: old.settlements.settle([Settlement(key("a"), NOW, upstream=SAID)]),
            lambda: old.inbox.append(
                [InboxNotice("main", "conversation", "y", NOW, metadata=SAID)]
            ),
            lambda: old.holds.add(Hold("i", "why", metadata={"user_id": RAW[0]}), NOW),
        ):
            with pytest.raises(ConfigError, match="restart this janitor"):
                enter()
        assert_nothing_raw(old)


def test_who_only_reads_must_know_the_same_words(url: str) -> None:
    with opened(url) as registry:
        filled(registry)
    with pytest.raises(ConfigError, match="janitor db upgrade"):
        Registry.open(url, read_only=True).close()
    with Registry.open(url, screen=HASHING, read_only=True) as reader:
        assert reader.threads.count_labelled({"user_id": RAW[0]}) == 3


def test_without_the_configuration_no_metadata_enters(url: str) -> None:
    with opened(url) as registry:
        filled(registry)
    with opened(url, None) as paused:
        assert paused.threads.get(key("a")) is not None
        with pytest.raises(ConfigError, match="pass --config"):
            paused.registrations.add([registration("x")], NOW)
        assert_nothing_raw(paused)


@pytest.mark.parametrize(
    ("screen", "message"),
    [
        (replace(HASHING, secret=b"t" * 32), "hash_key is not the one"),
        (replace(HASHING, hashed=frozenset()), "cannot be reversed"),
        (OPEN, "cannot be reversed"),
        (MetadataFilter(frozenset({"plan"})), "hold 'h' selects by metadata 'user_id'"),
    ],
)
def test_a_change_that_would_blind_a_protection_is_refused(
    url: str, screen: MetadataFilter, message: str
) -> None:
    with opened(url) as registry:
        filled(registry)
        before = everything(registry)
    with pytest.raises(ConfigError, match=message):
        Registry.open(url, screen=screen).close()
    with opened(url) as registry:
        assert everything(registry) == before


def test_what_was_approved_must_still_be_judged(url: str) -> None:
    said = Policies((Policy("p", Selector(metadata={"user_id": Asked(glob="al*")})),))
    with opened(url, OPEN) as registry:
        registry.policies.approve(dump(said), "digest", actor="a", reason="r", now=NOW)
    with pytest.raises(ConfigError, match="p: user_id"):
        Registry.open(url, screen=HASHING).close()


def test_a_key_is_free_again_once_nothing_is_hashed_by_it(url: str) -> None:
    with opened(url) as registry:
        filled(registry)
        registry.holds.release("h", NOW, reason="over")
    with opened(url, MetadataFilter(frozenset({"plan"}))) as registry:
        (entry, *_) = registry.threads.select()
        assert entry.thread.reported == {"plan": "trial", "janitor_keep_until": "forever"}
        assert STORED["user_id"] not in everything(registry)
    with opened(url, replace(HASHING, secret=b"t" * 32)) as registry:
        registry.registrations.add([registration("new")], NOW)
        assert registry.threads.count_labelled({"user_id": RAW[0]}) == 1
