"""Which column stands for what: by its name and by what its values look like."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.config import Keeper, Secret, parse
from janitor.config.starter import starter
from janitor.config.yaml_source import parse_document
from janitor.errors import ConfigError
from janitor.model import Kind
from janitor.sources.suggest import is_plain, query, source_name, stanza
from janitor.sources.suggest_columns import (
    ACTIVE,
    CHANGED,
    CONTENT,
    CREATED,
    IDS,
    LABELS,
    Column,
    Sort,
    SourceProposal,
    may_be_looked_into,
    propose,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = (AT, AT)
URL = Secret(Keeper.ENV, "APP_DATABASE_URL")


def text(name: str, *samples: object, nulls: int = 0) -> Column:
    return Column(name, Sort.TEXT, samples=samples, nulls=nulls)


def time(name: str, *samples: object, nullable: bool = False, nulls: int = 0) -> Column:
    return Column(name, Sort.TIME, nullable, samples, nulls)


CHATS = (
    Column("id", Sort.NUMBER, nullable=False, samples=(1, 2)),
    Column("conversation_id", Sort.TEXT, nullable=False, samples=("conv_1", "conv_2")),
    text("title"),
    text("user_id", "u1"),
    text("plan", "trial"),
    text("email", "a@b"),
    time("created_at", *TIMES),
    time("last_message_at", *TIMES),
    time("updated_at", *TIMES),
)


def quoted(name: str) -> str:
    return name if name.isidentifier() else f'"{name}"'


def guessed(*columns: Column) -> SourceProposal:
    return propose("chats", columns)


def names(found: SourceProposal) -> dict[str, str]:
    return {to: name for name, to in found.columns}


def test_a_table_as_applications_have_it() -> None:
    found = guessed(*CHATS)
    assert names(found) == {
        "id": "conversation_id",
        "created_at": "created_at",
        "last_active_at": "last_message_at",
        "metadata.user_id": "user_id",
        "metadata.plan": "plan",
        "updated_at": "updated_at",
    }
    assert query(found, "chats", quoted) == (
        "SELECT conversation_id AS id,\n"
        "  created_at,\n"
        "  last_message_at AS last_active_at,\n"
        '  user_id AS "metadata.user_id",\n'
        '  plan AS "metadata.plan",\n'
        "  updated_at\n"
        "FROM chats\n"
        "WHERE updated_at > :watermark"
    )


@pytest.mark.parametrize(
    ("columns", "id", "kind"),
    [
        ([text("ref", "thread_1"), text("thread_id", "7")], "ref", None),
        ([text("id", "cthr_1", "conv_2")], "id", None),
        ([text("session_id", "0b1e")], "session_id", Kind.AGENT_SESSION),
        ([text("conversationId")], "conversationId", Kind.CONVERSATION),
        ([text("thread_id", "thread_1", "old-7")], "thread_id", Kind.THREAD),
        ([text("openai_id", "x")], "openai_id", None),
        ([Column("conversation_id", Sort.NUMBER, samples=(7,)), text("id", "conv_7")], "id", None),
    ],
    ids=["values", "two kinds", "no prefix", "by name", "mixed", "no kind", "a number"],
)
def test_the_id(columns: list[Column], id: str, kind: Kind | None) -> None:
    found = guessed(*columns)
    assert (found.id.name, found.literal_kind) == (id, kind)
    assert f"`{id}` is taken for the id" in found.notes[0]


@pytest.mark.parametrize(
    ("samples", "kind"),
    [
        (("thread_1", "thread_2", "tmp"), None),
        (("thread_1   ", "thread_2   "), None),
        (("thread_1", "tmp"), None),
        (("0b1e", "0b1f"), Kind.AGENT_SESSION),
    ],
    ids=["most", "padded", "half", "none"],
)
def test_what_ids_say_of_their_kind_goes_before_the_column_s_name(
    samples: tuple[str, ...], kind: Kind | None
) -> None:
    found = guessed(text("session_id", *samples))
    assert (found.id.name, found.literal_kind) == ("session_id", kind)
    assert ("AS kind" in query(found, "chats", quoted)) is (kind is not None)


@pytest.mark.parametrize(
    ("created", "active", "updated"),
    [
        ("createdDate", "lastMessageDate", "updatedDate"),
        ("createddate", "lastmessagedate", "lastupdate"),
        ("CreatedAtUtc", "LastActivityUtc", "ModifiedDateUtc"),
        ("date_created", "last_response_at", "date_modified"),
        ("gmt_create", "last_accessed_at", "gmt_modified"),
        ("creationTimestamp", "last_seen", "lastModifiedDateTime"),
        ("createTime", "lastActiveTime", "updateTime"),
        ("insert_ts", "last_interaction_ts", "updated_dt"),
    ],
)
def test_names_of_times_as_tools_give_them(created: str, active: str, updated: str) -> None:
    columns = [time(name, AT, AT, "-infinity") for name in (created, active, updated)]
    found = guessed(text("threadid", "thread_1"), *columns, text("userid", "u1"))
    assert names(found) == {
        "id": "threadid",
        "created_at": created,
        "last_active_at": active,
        "metadata.user_id": "userid",
        updated: updated,
    }


def test_padded_values_are_trimmed_but_the_watermark_is_not() -> None:
    found = guessed(
        text("id", "conv_1 "),
        text("kind", "conversation   "),
        text("plan", "trial "),
        text("updated_at", "2026-01-01 10:00:00"),
    )
    said = query(found, "chats", quoted)
    assert "trim(id) AS id" in said
    assert "trim(kind) AS kind" in said
    assert 'trim(plan) AS "metadata.plan"' in said
    assert "trim(updated_at)" not in said


def test_times_that_are_mostly_none_are_no_times() -> None:
    found = guessed(text("id", "conv_1"), time("created_at", AT, "soon", "later"))
    assert found.created_at is None


@pytest.mark.parametrize(
    "columns",
    [
        [],
        [Column("id", Sort.NUMBER, samples=(1,))],
        [text("id", "0b1e")],
        [text("title", "conv_1")],
        [text("message_id", "conv_1")],
    ],
    ids=["empty", "a number", "no prefix", "content", "of a message"],
)
def test_a_table_without_ids_is_no_source(columns: list[Column]) -> None:
    with pytest.raises(ConfigError, match="write the source by hand"):
        guessed(*columns)


def test_a_column_of_kinds_names_them() -> None:
    kinds = text("kind", "thread", "conversation")
    assert guessed(text("thread_id", "x"), kinds).kind == kinds
    found = guessed(text("thread_id", "x"), text("kind", "thread", "support"))
    assert (found.kind, found.literal_kind) == (None, Kind.THREAD)
    assert "'thread' AS kind" in query(found, "chats", quoted)


def test_when_a_row_changed_is_no_activity() -> None:
    found = guessed(text("id", "conv_1"), time("updated_at", AT))
    assert found.last_active_at is None
    assert any("a changed row does not show that" in note for note in found.notes)


@pytest.mark.parametrize(
    ("column", "usable"),
    [
        (time("updated_at"), True),
        (text("updated_at", "2026-01-01 10:00:00"), True),
        (text("updated_at"), False),
        (text("updated_at", "yesterday"), False),
        (time("updated_at", "2026-01-01 10:00:00", "2026-01-01T10:00:00"), False),
        (Column("updated_at", Sort.NUMBER, samples=(1_767_225_600,)), True),
        (Column("updated_at", Sort.NUMBER, samples=(7,)), False),
    ],
)
def test_a_watermark_is_a_time_that_the_database_orders(column: Column, *, usable: bool) -> None:
    found = guessed(text("id", "conv_1"), column)
    assert (found.watermark is not None) is usable
    assert (":watermark" in query(found, "chats", quoted)) is usable


def test_what_has_no_id_is_left_out_and_what_never_changed_is_not() -> None:
    found = guessed(text("id", "conv_1"), time("updated_at", AT, nullable=True))
    assert query(found, "chats", quoted).endswith(
        "WHERE id IS NOT NULL\n  AND (updated_at > :watermark OR updated_at IS NULL)"
    )


def test_names_of_sources_and_tables() -> None:
    assert [source_name(one) for one in ("Chats", "app.user_chats", "_x_", "$")] == [
        *("chats", "user_chats", "x", "chats"),
    ]
    assert [is_plain(one) for one in ("chats", "a.b", "a.b.c", "a b", "", "a;b", '"a"')] == [
        *(True, True, False, False, False, False, False),
    ]


known = st.sampled_from([*IDS, *CREATED, *ACTIVE, *CHANGED, *LABELS, "kind", "userId", "Plan"])
contents = st.sampled_from(["title", "content", "body", "message", "lastMessage", "user_email"])
values = st.one_of(
    st.sampled_from(["conv_1", "thread_2", "cthr_3", "2026-01-01 10:00:00", "thread", "", "x"]),
    st.just(AT),
    st.integers(0, 2_000_000_000),
)
tables = st.lists(
    st.builds(
        Column,
        known | contents | st.text(max_size=5),
        st.sampled_from(Sort),
        st.booleans(),
        st.lists(values, max_size=3).map(tuple),
    ),
    max_size=8,
    unique_by=lambda one: one.name,
)


@given(tables)
def test_whatever_is_proposed_is_accepted_and_holds_no_text_of_a_conversation(
    columns: list[Column],
) -> None:
    try:
        found = guessed(*columns)
    except ConfigError:
        return
    proposed = stanza(found, "app.chats", URL, quoted)
    config = parse(parse_document(starter(sources=proposed).encode(), "starter").value)
    source = config.sources["chats"]
    assert source.sql.watermark == (found.watermark and found.watermark.name)
    assert (source.sql.url, source.expire_after) == (URL, None)
    given = {name for name, _ in found.columns}
    assert given <= {one.name for one in columns}
    assert not given & {"title", "content", "body", "message", "lastMessage", "user_email"}
    assert len({to for _, to in found.columns}) == len(found.columns)


@given(st.text(max_size=8) | contents, st.sampled_from(Sort))
def test_no_content_is_looked_into(name: str, sort: Sort) -> None:
    if CONTENT.search(name) and name not in (*ACTIVE, *CREATED, *CHANGED, *LABELS):
        assert not may_be_looked_into(name, sort)


def test_the_stanza_takes_the_place_of_the_empty_one() -> None:
    proposed = stanza(guessed(*CHATS), "chats", "sqlite:////app.db", quoted)
    text = starter(sources=proposed)
    assert text.count("sources:") == 1
    assert proposed in text
    assert len(text.splitlines()) > len(starter().splitlines())
