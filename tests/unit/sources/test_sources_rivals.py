"""Where two columns could stand for the same, the rows decide, and the proposal names both."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations

import pytest

from janitor.config import Keeper, Secret, parse
from janitor.config.starter import starter
from janitor.config.yaml_source import parse_document
from janitor.sources.suggest import stanza
from janitor.sources.suggest_columns import Column, Sort, propose

AT = datetime(2026, 1, 1, tzinfo=UTC)
URL = Secret(Keeper.ENV, "APP_DATABASE_URL")
ID = Column("ref", Sort.TEXT, samples=("conv_1", "conv_2"))


def text(name: str, *samples: object, nulls: int = 0) -> Column:
    return Column(name, Sort.TEXT, True, samples, nulls)


def time(name: str, *samples: object, nulls: int = 0) -> Column:
    return Column(name, Sort.TIME, True, samples, nulls)


def spelled(name: str) -> str:
    return name if name == name.lower() else f'"{name}"'


BETTER = {
    "ids that look like ids": (
        (text("conversation_id", "7", "8"), text("conversationId", "conv_1", "conv_2")),
        "id",
        "conversation_id",
        "more of its values look like ids",
    ),
    "fewer ids that look like ids": (
        (
            text("threadId", "thread_1", "thread_2"),
            text("thread_id", "thread_1", "old", "thread_2"),
        ),
        "id",
        "thread_id",
        "more of its values look like ids",
    ),
    "fewest NULLs": (
        (text("thread_id", "thread_1", nulls=3), text("threadId", "thread_1", "thread_2", nulls=2)),
        "id",
        "thread_id",
        "it has fewer NULLs (2 against 3)",
    ),
    "two sorts of ids": (
        (text("thread_id", "thread_1", nulls=1), text("conversation_id", "conv_1", "conv_2")),
        "id",
        "thread_id",
        "it has fewer NULLs (0 against 1)",
    ),
    "by the name alone": (
        (text("thread_id", "7", nulls=1), text("threadId", "7", "8")),
        "id",
        "thread_id",
        "it has fewer NULLs (0 against 1)",
    ),
    "a time of creation": (
        (ID, time("created_at", AT, nulls=1), time("created", AT, AT)),
        "created_at",
        "created_at",
        "it has fewer NULLs (0 against 1)",
    ),
    "a time that is never set": (
        (ID, time("last_message_at", nulls=2), time("lastMessageAt", AT, AT)),
        "last_active_at",
        "last_message_at",
        "it has fewer NULLs (0 against 2)",
    ),
    "a watermark that is never set": (
        (ID, time("updated_at", nulls=2), time("updated", AT, AT)),
        "updated",
        "updated_at",
        "it has fewer NULLs (0 against 2)",
    ),
    "a watermark that is set late": (
        (ID, time("updated_at", AT, nulls=1), time("edited_at", AT, AT)),
        "updated_at",
        "edited_at",
        "it has the more usual name",
    ),
    "a label": (
        (ID, text("user_id", nulls=2), text("userId", "u1", "u2")),
        "metadata.user_id",
        "user_id",
        "it has fewer NULLs (0 against 2)",
    ),
    "a kind": (
        (ID, text("kind", "thread", nulls=1), text("Kind", "thread", "thread")),
        "kind",
        "kind",
        "it has fewer NULLs (0 against 1)",
    ),
}


@pytest.mark.parametrize("name", BETTER)
def test_the_rows_decide_and_both_columns_are_named(name: str) -> None:
    columns, to, other, why = BETTER[name]
    (best,) = (one.name for one in columns if one is not ID and one.name != other)
    for order in permutations(columns):
        found = propose("chats", order)
        assert {new: old for old, new in found.columns}[to] == best
        (said,) = (note for note in found.notes if "could both" in note)
        assert said.startswith(f"`{best}` and `{other}` could both be ")
        assert said.endswith(f": `{best}` is taken, {why}")


def test_rows_that_decide_nothing_are_said_to() -> None:
    rivals = text("thread_id", "thread_1"), text("threadId", "thread_2")
    found = propose("chats", rivals)
    assert found.id.name == "thread_id"
    assert (
        "`thread_id` and `threadId` could both be the id: `thread_id` is taken, it is the first "
        "of them and their rows look alike"
    ) in found.notes


def test_the_other_column_stands_in_the_proposal_as_a_comment() -> None:
    columns = (
        text("thread_id", "thread_1", nulls=1),
        text("threadId", "thread_1", "thread_2"),
        time("created_at", AT, AT),
        time("createdAt", AT, nulls=1),
        time("updated_at", AT, AT),
        time("updatedAt", AT, nulls=1),
    )
    found = propose("chats", columns)
    said = stanza(found, "chats", URL, spelled)
    assert "      # or: thread_id AS id\n" in said
    assert '      # or: "createdAt" AS created_at\n' in said
    assert "      # or: watermark: updatedAt\n" in said
    parse(parse_document(starter(sources=said).encode(), "starter").value)


def test_one_column_for_each_is_no_doubt() -> None:
    found = propose("chats", (ID, time("created_at", AT), time("updated_at", AT)))
    assert not [note for note in found.notes if "could" in note]
    assert "# or:" not in stanza(found, "chats", URL, spelled)
