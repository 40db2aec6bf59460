"""A source's query is one that reads; a column may have any name."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from source_queries import CHANGES, ONE, REFUSED, TAKEN, Refused, Taken

from janitor.config.forms import SqlForm
from janitor.config.source_query import (
    DIALECTS,
    around_watermarks,
    compared_by,
    is_newer_alone,
    only_read,
    shortened_by,
    uses_watermark,
)


def form(url: object, query: str) -> SqlForm:
    return SqlForm.model_validate({"url": url, "query": query, "watermark": None})


BACKENDS = {"s": "sqlite", "p": "postgresql"}


def backends(case: Taken) -> list[str | None]:
    """The engines that take a query, and the one that nobody knows."""
    return [*(BACKENDS[letter] for letter in case.on), None]


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case.query[:80])
def test_a_query_that_reads_is_taken(case: Taken) -> None:
    for backend in backends(case):
        assert only_read(case.query, backend).startswith(case.query.strip().rstrip(";")[:20])


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case.query[:80])
def test_a_query_that_leaves_out_rows_is_known(case: Taken) -> None:
    for backend in backends(case):
        assert shortened_by(case.query, backend) == case.leaves_out


IN_ONE_DIALECT_A_COMMENT = "SELECT id FROM chats WHERE 1 # 1 > 0 ORDER BY id USING > LIMIT 6"


@pytest.mark.parametrize(
    ("query", "backend", "word"),
    [
        (IN_ONE_DIALECT_A_COMMENT, "postgresql", "LIMIT"),
        ("SELECT id FROM (SELECT id FROM chats LIMIT 1_000) AS few", "postgresql", "LIMIT"),
        ("SELECT id FROM (SELECT id FROM chats LIMIT 1_000) AS few", "sqlite", "LIMIT"),
        ("SELECT id FROM (SELECT id FROM c FETCH FIRST 1_0 ROWS ONLY) x", "postgresql", "FETCH"),
        ("SELECT id FROM chats TABLESAMPLE BERNOULLI (10)", "postgresql", "TABLESAMPLE"),
        (
            "SELECT id, GROUP_CONCAT(a ORDER BY b LIMIT 1) AS user FROM c GROUP BY id",
            "mariadb",
            None,
        ),
    ],
)
def test_rows_are_left_out_whatever_the_dialect_makes_of_it(
    query: str, backend: str | None, word: str | None
) -> None:
    assert shortened_by(query, backend) == word


@pytest.mark.parametrize(
    ("query", "backend"),
    [
        ("SELECT id FROM chats /*! INTO OUTFILE '/tmp/x' */", "mysql"),
        ("SELECT id FROM chats /*!50000 LIMIT 10 */", None),
        ("SELECT id FROM chats DROP TABLE chats", "mssql"),
        ("SELECT id FROM chats EXEC tidy", "mssql"),
        ("SELECT id FROM chats TRUNCATE TABLE chats", "mssql"),
        ("SELECT id FROM chats SET ROWCOUNT 10", "mssql"),
    ],
)
def test_a_statement_without_a_semicolon_or_in_a_comment_is_refused(
    query: str, backend: str | None
) -> None:
    with pytest.raises(ValueError, match="remove it"):
        only_read(query, backend)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.query[:80])
def test_a_query_that_does_more_than_read_is_refused(case: Refused) -> None:
    for backend in case.on:
        with pytest.raises(ValueError, match=case.why):
            only_read(case.query, backend)


def test_what_is_quoted_is_no_comment_that_mysql_runs() -> None:
    for query in ("SELECT id FROM c WHERE note = 'see /*! here'", "SELECT id AS `/*!` FROM c"):
        assert only_read(query, "mysql") == query


@given(st.data())
def test_no_statement_behind_a_query_is_overlooked(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(TAKEN))
    ended = only_read(case.query, None)
    aside = data.draw(st.sampled_from(["", "\n", " -- ; \n", " /* ; */ "]))
    other = data.draw(st.sampled_from(["DELETE FROM chats", "COMMIT", "SELECT 1", "x"]))
    for backend in backends(case):
        with pytest.raises(ValueError, match=ONE):
            only_read(f"{ended}\n;{aside}{other}{aside};", backend)


@given(st.data())
def test_brackets_around_a_query_hide_nothing(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from([case for case in REFUSED if case.why == CHANGES]))
    name = data.draw(st.sampled_from(["q", "delete", '"x;y"', "insert"]))
    for backend in case.on:
        with pytest.raises(ValueError, match="the query must"):
            only_read(f"SELECT id FROM (\n{case.query}\n) AS {name}", backend)  # noqa: S608


PIECES = (
    *(
        "SELECT",
        "WITH",
        "AS",
        "FROM",
        "LIMIT",
        "OFFSET",
        "FETCH",
        "FIRST",
        "TOP",
        "UNION",
        "DELETE",
    ),
    *("INSERT", "INTO", "UPDATE", "MERGE", "chats", "id", "1", ":watermark", "'a'", "E'\\''", "$$"),
    *('"b"', "`c`", "[d]", "--", "/*", "*/", "#", "'", '"', "(", ")", "{", "}", "\\", "\n"),
    *(",", ".", ";", "::", ">", "<", "="),
)


@given(
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join), st.sampled_from([*DIALECTS, None])
)
def test_whatever_a_query_holds_is_answered(query: str, backend: str | None) -> None:
    with suppress(ValueError):
        assert only_read(query, backend) in query
    shortened_by(query, backend)
    assert ":watermark".join(around_watermarks(query, backend)) == query
    assert compared_by(query, backend, ">").count(":watermark") == query.count(":watermark")


@pytest.mark.parametrize(
    ("query", "ended"),
    [
        ("\n SELECT id FROM chats \n", "SELECT id FROM chats"),
        ("SELECT id FROM chats ; ; -- all", "SELECT id FROM chats"),
        ("SELECT id FROM chats -- all;", "SELECT id FROM chats -- all;"),
    ],
)
def test_a_query_ends_before_its_semicolons(query: str, ended: str) -> None:
    assert only_read(query, "sqlite") == ended


def test_a_query_is_read_in_the_dialect_of_its_address() -> None:
    text = r"SELECT 'a\'; b' AS id"
    assert form("mysql://u@h/d", text).query == text
    assert form({"env": "APP_URL"}, text).query == text
    for url in ("postgresql://u@h/d", "sqlite:///app.db"):
        with pytest.raises(ValidationError, match="close it"):
            form(url, text)


def test_where_another_dialect_sees_a_change_an_unknown_engine_gets_no_query() -> None:
    text = r"SELECT 'a\'; DELETE FROM chats; --' AS id"
    assert only_read(text, "mysql") == text
    with pytest.raises(ValueError, match="must be one SELECT"):
        only_read(text, None)


def test_two_statements_of_sql_server_need_no_semicolon() -> None:
    with pytest.raises(ValueError, match="`DELETE` changes data"):
        only_read("SELECT 1 DELETE FROM chats", "mssql")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("SELECT TOP 10 id FROM chats", "TOP"),
        ("SELECT TOP (10) id FROM chats", "TOP"),
        ("SELECT id FROM (SELECT TOP (10) id FROM chats) AS newest", "TOP"),
        ("SELECT id FROM (SELECT TOP 1 PERCENT id FROM chats) AS newest", "TOP"),
        ("SELECT id, (SELECT TOP 1 at FROM m) AS at FROM chats", None),
        ("SELECT id, insert, (SELECT TOP (1) at FROM m) AS at FROM chats", None),
        ("SELECT TOP 5 id, insert FROM chats", "TOP"),
        ("SELECT top, c.top AS top FROM chats c", None),
    ],
)
@pytest.mark.parametrize("backend", ["mssql", None])
def test_sql_server_leaves_out_rows_by_top(
    query: str, word: str | None, backend: str | None
) -> None:
    assert shortened_by(query, backend) == word


WATERMARKS = [
    ("at > :watermark", True),
    ("at >= (:watermark)", True),
    ("at>CAST(:watermark AS text)", True),
    ("at > :watermark::timestamptz", True),
    (":watermark < at", True),
    (":watermark::timestamptz <= at", True),
    ("at /* > */ > -- newer\n :watermark", True),
    ("at > :watermark AND note <> ':watermark >' -- > :watermark", True),
    ("at > :watermark OR made > :watermark", True),
    ("at > :watermark OR made = :watermark", False),
    ("at < :watermark", False),
    ("at <> :watermark", False),
    ("at @> :watermark", False),
    ("at >> :watermark", False),
    ("at -> :watermark", False),
    (":watermark <= ALL (at)", True),
    (":watermark <@ at", False),
    (":watermark <-> at", False),
    (":watermark <=> at", False),
    ("NOT (at <= :watermark)", False),
    ("at BETWEEN :watermark AND now()", False),
    ("at > coalesce(:watermark, at)", False),
    ("at > :watermark2", None),
    ("at > a:watermark", None),
    ("at > x::watermark", None),
    ("at > ':watermark'", None),
]


@pytest.mark.parametrize(("condition", "is_newer"), WATERMARKS)
@pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mysql", None])
def test_a_condition_that_asks_for_what_is_newer_is_known(
    condition: str, is_newer: bool | None, backend: str | None
) -> None:
    query = f"SELECT id FROM chats WHERE {condition}"  # noqa: S608
    assert uses_watermark(query, backend) is (is_newer is not None)
    assert is_newer_alone(query, backend) is (is_newer is not False)


def test_the_operator_alone_is_exchanged() -> None:
    query = "SELECT '> :watermark' FROM chats WHERE at >= (:watermark::text) OR :watermark<b -- > a"
    assert compared_by(query, "postgresql", " IS NOT ") == (
        "SELECT '> :watermark' FROM chats WHERE at  IS NOT  (:watermark::text) OR :watermark "
        "IS NOT b -- > a"
    )


def test_a_quoted_watermark_is_no_parameter() -> None:
    query = "SELECT ':watermark' FROM chats -- :watermark\n WHERE at > :watermark"
    before, behind = around_watermarks(query, "sqlite")
    assert (before[-5:], behind) == ("at > ", "")
