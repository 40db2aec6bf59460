"""Several reads in one transaction, of one thread; on both engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import event

from janitor.errors import StoreError
from janitor.model import Hold, Key, Kind
from janitor.registry import Pause, Registration, Registry

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY = Key("main", Kind.CONVERSATION, "conv_1")


def test_reads_in_the_block_are_one_transaction(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY)], NOW)
    begun: list[object] = []
    event.listen(registry.store.database.engine, "begin", begun.append)
    with registry.at_once():
        assert registry.threads.get(KEY) is not None
        assert registry.holds.recent(NOW) == ()
        assert registry.pauses.in_force(NOW) == ()
    assert len(begun) == 1
    assert registry.holds.recent(NOW) == ()
    assert len(begun) == 2


def test_other_threads_read_and_write_meanwhile_and_the_next_block_sees_it(
    registry: Registry,
) -> None:
    def change() -> int:
        registry.holds.add(Hold("court", ids=frozenset([KEY.id])), NOW)
        registry.pauses.add(Pause("all", "wait", "ops", NOW))
        return len(registry.holds.recent(NOW))

    with ThreadPoolExecutor(1) as other, registry.at_once():
        assert registry.pauses.in_force(NOW) == ()
        assert other.submit(change).result() == 1
    with registry.at_once():
        assert len(registry.holds.recent(NOW)) == len(registry.pauses.in_force(NOW)) == 1


def test_a_block_in_a_block_is_part_of_it_and_a_failure_ends_both(registry: Registry) -> None:
    def fail() -> None:
        with registry.at_once():
            with registry.at_once():
                assert registry.threads.get(KEY) is None
            raise StoreError("full")

    with pytest.raises(StoreError):
        fail()
    registry.registrations.add([Registration(KEY)], NOW)
    assert registry.threads.get(KEY) is not None
