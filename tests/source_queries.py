"""Queries of a source, with what the configuration answers and which engines take them."""

from __future__ import annotations

from dataclasses import dataclass

# What both engines hold; `{json}` is the type of theirs, `{time}` likewise.
NAMES = ("call", "update", "delete", "insert", "merge", "limit", "offset", "from", "into")
TABLES = (
    "CREATE TABLE chats (id text, plan text, data {json}, updated_at {time}, "
    + ", ".join(f'"{name}" text' for name in NAMES)
    + ")",
    "CREATE TABLE messages (chat_id text, at {time}, note text)",
    "CREATE VIEW feed AS SELECT id, updated_at FROM chats",
)
CHATS = """
INSERT INTO chats (id, plan, data, updated_at) VALUES
('a', 'free', '{"x": {"y": 1}}', '2026-01-01 10:00:00+00:00'),
('b', 'it''s; delete', '{"x": 2}', '2026-01-02 10:00:00+00:00')
"""
MESSAGES = """
INSERT INTO messages VALUES
('a', '2026-01-01 10:00:00+00:00', 'limit'),
('a', '2026-01-03 10:00:00+00:00', 'x'),
('b', '2026-01-02 10:00:00+00:00', 'y')
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """A query that only reads; `on` names the engines that take it, `s`QLite and `p`ostgreSQL.

    `leaves_out` is the word by which it leaves out rows.
    """

    query: str
    on: str
    leaves_out: str | None = None


TAKEN = (
    # plain, and what ends it
    Taken("SELECT id FROM chats", "sp"),
    Taken("  select id\nfrom chats  \n", "sp"),
    Taken("SELECT id FROM chats;", "sp"),
    Taken("SELECT id FROM chats ;; ; -- that is all", "sp"),
    Taken("SELECT id FROM chats -- newest; limit 3\n", "sp"),
    Taken("/* delete; limit 1 */ SELECT id FROM chats", "sp"),
    Taken("SELECT id FROM chats /* delete /* nested */ ; */", "p"),
    Taken("(SELECT id FROM chats)", "p"),
    Taken("TABLE feed", "p"),
    Taken("VALUES ('a')", "sp"),
    Taken("SELECT * FROM (VALUES ('a'), ('b')) AS named(id)", "p"),
    # names that are words of SQL
    Taken("SELECT id, call FROM chats", "sp"),
    Taken("SELECT id, call, merge FROM chats WHERE merge IS NULL", "sp"),
    Taken("SELECT id, update, delete, insert, merge FROM chats", "p"),
    Taken("SELECT delete FROM chats", "p"),
    Taken("SELECT max(update) AS id FROM chats", "p"),
    Taken("SELECT c.into AS id FROM chats c", "p"),
    Taken("SELECT c.insert AS id, c.delete AS merge FROM chats c", "p"),
    Taken("SELECT id AS into FROM chats", "p"),
    Taken('SELECT "update" AS "delete", "into", "limit", "from" FROM chats', "sp"),
    Taken("SELECT `update`, `into`, `limit` FROM chats", "s"),
    Taken("SELECT [update], [into], [limit] FROM chats", "s"),
    Taken("SELECT id, offset FROM chats", "s"),
    Taken("SELECT c.limit, c.offset AS limit FROM chats c", "p"),
    Taken("WITH truncate AS (SELECT id FROM chats) SELECT id FROM truncate", "sp"),
    Taken("SELECT replace(plan, 'a', 'b') AS id FROM chats", "sp"),
    # what is quoted
    Taken("SELECT id, 'delete; limit 1' AS note FROM chats WHERE plan = 'it''s; delete'", "sp"),
    Taken("SELECT ':watermark' AS id FROM chats", "sp"),
    Taken(r"SELECT E'it\'s; delete' AS id FROM chats", "p"),
    Taken("SELECT $$it's; delete$$ AS id, $x$insert $$ into$x$ AS note FROM chats", "p"),
    Taken(r"SELECT U&'d\0061t' AS id FROM chats", "p"),
    Taken("SELECT x'ab' AS id FROM chats", "sp"),
    # operators and syntax of one engine
    Taken("SELECT id::text, data->>'x' AS plan, data#>>'{x,y}' AS user FROM chats", "p"),
    Taken("SELECT id FROM chats WHERE data @> '{\"x\": 2}' AND data ? 'x' OR id ~* 'a'", "p"),
    Taken("SELECT id, data -> '$.x' AS plan, data ->> '$.x' AS user FROM chats", "sp"),
    Taken("SELECT id FROM chats WHERE plan GLOB 'f*' AND id IS NOT 'b'", "s"),
    Taken("SELECT id FROM chats NOT INDEXED", "s"),
    Taken("SELECT iif(plan = 'free', id, plan) AS id FROM chats", "s"),
    Taken("SELECT id FROM chats WHERE id = ANY (ARRAY['a', 'b']) AND plan ILIKE 'f%'", "p"),
    Taken("SELECT id FROM chats WHERE id OPERATOR(pg_catalog.=) 'a'", "p"),
    Taken("SELECT (array_agg(id))[1:2] AS id FROM chats", "p"),
    Taken("SELECT id FROM ONLY chats", "p"),
    Taken("SELECT * FROM ROWS FROM (generate_series(1, 2), unnest(ARRAY[3])) AS t(id, plan)", "p"),
    Taken("SELECT id FROM chats WHERE (id, plan) IN (SELECT id, plan FROM chats)", "sp"),
    Taken("SELECT id FROM chats WHERE updated_at AT TIME ZONE 'UTC' > '2026-01-01'", "p"),
    Taken("SELECT id, updated_at - interval '1 day' AS created_at FROM chats", "p"),
    Taken('SELECT id FROM chats ORDER BY id COLLATE "C"', "p"),
    # whole queries
    Taken("SELECT id FROM chats UNION ALL SELECT chat_id FROM messages", "sp"),
    Taken("SELECT id, row_number() OVER (PARTITION BY plan ORDER BY id) AS n FROM chats", "sp"),
    Taken(
        "SELECT max(at) FILTER (WHERE note = 'x') OVER w AS id FROM messages "
        "WINDOW w AS (ORDER BY at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        "sp",
    ),
    Taken("SELECT DISTINCT ON (plan) id FROM chats ORDER BY plan, id", "p"),
    Taken(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) "
        "SELECT i AS id FROM n",
        "sp",
    ),
    Taken(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) "
        "SEARCH DEPTH FIRST BY i SET o SELECT i AS id FROM n",
        "p",
    ),
    Taken("WITH named AS MATERIALIZED (SELECT id FROM chats) SELECT id FROM named", "sp"),
    Taken(
        "SELECT id, CASE WHEN plan = 'free' THEN 1 ELSE 2 END AS plan FROM chats "
        "GROUP BY id, plan HAVING count(*) > 0 ORDER BY 1 DESC NULLS LAST",
        "sp",
    ),
    Taken(
        "SELECT id FROM chats c WHERE EXISTS (SELECT 1 FROM messages WHERE chat_id = c.id)", "sp"
    ),
    # the watermark
    Taken("SELECT id, updated_at FROM chats WHERE updated_at > :watermark", "sp"),
    Taken("SELECT id, updated_at FROM chats WHERE :watermark <= updated_at", "sp"),
    Taken("SELECT id, updated_at FROM chats WHERE updated_at > :watermark::timestamptz", "p"),
    Taken("SELECT id, updated_at FROM chats WHERE updated_at >= CAST(:watermark AS text)", "s"),
    # rows that are left out
    Taken("SELECT id FROM chats LIMIT 10", "sp", "LIMIT"),
    Taken("SELECT id FROM chats LIMIT 1", "sp", "LIMIT"),
    Taken("SELECT id FROM chats ORDER BY id limit 1, 10", "s", "LIMIT"),
    Taken("(SELECT id FROM chats LIMIT 1)", "p", "LIMIT"),
    Taken("SELECT id FROM chats ORDER BY id OFFSET 1 ROWS", "p", "OFFSET"),
    Taken("SELECT id FROM chats FETCH FIRST 5 ROWS ONLY", "p", "FETCH"),
    Taken("SELECT id FROM chats OFFSET 1 ROWS FETCH NEXT ROW ONLY", "p", "FETCH"),
    Taken("SELECT id FROM chats UNION ALL SELECT chat_id FROM messages LIMIT 3", "sp", "LIMIT"),
    Taken("(SELECT id FROM chats LIMIT 1) UNION ALL SELECT chat_id FROM messages", "p", "LIMIT"),
    Taken("SELECT id FROM chats UNION ALL (SELECT chat_id FROM messages LIMIT 3)", "p", "LIMIT"),
    Taken("WITH few AS (SELECT id FROM chats LIMIT 10) SELECT id FROM few", "sp", "LIMIT"),
    Taken("SELECT id FROM (SELECT id FROM chats ORDER BY id LIMIT 10) AS few", "sp", "LIMIT"),
    Taken("SELECT id FROM chats WHERE id IN (SELECT id FROM chats LIMIT 1, 10)", "s", "LIMIT"),
    Taken("TABLE feed LIMIT 3", "p", "LIMIT"),
    # one row within brackets is a value
    Taken(
        "SELECT id, (SELECT max(at) FROM messages m WHERE chat_id = c.id LIMIT 1) AS "
        "last_active_at FROM chats c",
        "sp",
    ),
    Taken(
        "SELECT id, (SELECT at FROM messages ORDER BY at LIMIT 1 OFFSET 2) AS "
        "last_active_at FROM chats",
        "sp",
    ),
    Taken(
        "SELECT id, (SELECT at FROM messages FETCH FIRST ROW ONLY) AS created_at FROM chats", "p"
    ),
    Taken(
        "SELECT id, m.at AS last_active_at FROM chats c LEFT JOIN LATERAL (SELECT at FROM "
        "messages WHERE chat_id = c.id ORDER BY at DESC LIMIT 1) m ON true",
        "p",
    ),
    # what sqlglot cannot parse is judged by its words
    Taken("SELECT id, fetch FROM chats, (SELECT 1 AS fetch) AS f WHERE fetch = 1", "s"),
    Taken("SELECT id, insert, merge FROM chats LIMIT 3", "p", "LIMIT"),
    Taken("SELECT id, insert FROM chats FETCH FIRST 5 ROWS ONLY", "p", "FETCH"),
    Taken("SELECT id, insert FROM chats OFFSET 1", "p", "OFFSET"),
    Taken("SELECT id, insert, (SELECT at FROM messages LIMIT 1) AS created_at FROM chats", "p"),
    Taken(
        "SELECT id, insert, (SELECT at FROM messages FETCH FIRST ROW ONLY) AS created_at "
        "FROM chats",
        "p",
    ),
    Taken("SELECT id FROM chats WHERE " + "(" * 300 + "true" + ")" * 300, "p"),
)


STANDARD = ("sqlite", "postgresql", "oracle", "mssql", None)
EVERYWHERE = (*STANDARD, "mysql", "mariadb", "duckdb")


@dataclass(frozen=True, slots=True)
class Refused:
    """A query that is refused, and a word of the reason.

    `on` names the engines that it is refused for, where others take it for something else.
    """

    query: str
    why: str
    on: tuple[str | None, ...] = EVERYWHERE


ONE, CHANGES, LOCKS, OPEN = "must be one SELECT", "changes data", "locks rows", "close it"

REFUSED = (
    # no SELECT
    Refused("", ONE),
    Refused(";", ONE),
    Refused("-- SELECT id FROM chats", ONE),
    Refused("chats", ONE),
    Refused("FROM chats SELECT id", ONE),
    Refused("DELETE FROM chats", ONE),
    Refused("INSERT INTO chats (id) VALUES ('c')", ONE),
    Refused("REPLACE INTO chats (id) VALUES ('c')", ONE),
    Refused("UPDATE chats SET id = 'c'", ONE),
    Refused("CREATE TABLE other (id text)", ONE),
    Refused("DROP TABLE chats", ONE),
    Refused("(DROP TABLE chats)", ONE),
    Refused("ALTER TABLE chats ADD COLUMN x text", ONE),
    Refused("TRUNCATE chats", ONE),
    Refused("GRANT SELECT ON chats TO public", ONE),
    Refused("CALL tidy()", ONE),
    Refused("EXEC tidy", ONE),
    Refused("DO $$ BEGIN DELETE FROM chats; END $$", ONE),
    Refused("PRAGMA user_version = 3", ONE),
    Refused("ATTACH ':memory:' AS other", ONE),
    Refused("EXPLAIN ANALYZE DELETE FROM chats", ONE),
    Refused("COPY (SELECT id FROM chats) TO STDOUT", ONE),
    Refused("VACUUM", ONE),
    Refused("SET TRANSACTION READ WRITE", ONE),
    Refused("PREPARE gone AS DELETE FROM chats", ONE),
    # two statements
    Refused("SELECT id FROM chats; SELECT id FROM chats", ONE),
    Refused("SELECT id FROM chats WHERE plan = 'a;b'; DROP TABLE chats", ONE),
    Refused("SELECT id FROM chats; COMMIT; DELETE FROM chats", ONE),
    Refused("SELECT id FROM chats; CALL tidy();", ONE),
    Refused("SELECT id FROM chats; -- and then\nDELETE FROM chats", ONE),
    Refused(r"SELECT 'a\'; COMMIT; DELETE FROM chats; --'", ONE, STANDARD),
    Refused(r"SELECT E'\', ' ; COMMIT; DELETE FROM chats; --'", ONE, ("postgresql", None)),
    Refused(r"SELECT e'\\'; COMMIT; DELETE FROM chats; --'", ONE, ("postgresql", None)),
    Refused("SELECT $a$ $b$ $a$; COMMIT; DELETE FROM chats; --$b$", ONE),
    Refused("SELECT $1$; COMMIT; DELETE FROM chats; --$1$", ONE),
    Refused("SELECT 1 AS a$$; COMMIT; DELETE FROM chats; --$$", ONE),
    Refused("SELECT id FROM chats /* /* */ */; COMMIT; DELETE FROM chats; /* */", ONE),
    Refused('SELECT id AS "a\\"; COMMIT; DELETE FROM chats; --"', ONE, STANDARD),
    Refused("SELECT id AS `a`; COMMIT; DELETE FROM chats; --`", ONE, STANDARD),
    Refused("SELECT a[1]; COMMIT; DELETE FROM chats; --]", ONE),
    # one that changes data
    Refused("WITH gone AS (DELETE FROM chats RETURNING id) SELECT id FROM gone", CHANGES),
    Refused(
        "WITH gone AS NOT MATERIALIZED (DELETE FROM chats RETURNING id) SELECT id FROM gone",
        CHANGES,
    ),
    Refused(
        "WITH a AS (SELECT 1), b AS (UPDATE chats SET id = 'c' RETURNING id) SELECT id FROM b",
        CHANGES,
    ),
    Refused(
        "WITH new AS (INSERT INTO chats (id) VALUES ('c') RETURNING id) SELECT id FROM new", CHANGES
    ),
    Refused(
        "WITH new AS (REPLACE INTO chats (id) VALUES ('c') RETURNING id) SELECT id FROM new",
        CHANGES,
    ),
    Refused(
        "WITH new AS (MERGE INTO chats USING feed ON true WHEN MATCHED THEN DELETE "
        "RETURNING id) SELECT id FROM new",
        CHANGES,
    ),
    Refused("WITH old AS (SELECT id FROM chats) DELETE FROM chats", CHANGES),
    Refused("WITH old AS (SELECT id FROM chats) UPDATE chats SET id = 'c'", CHANGES),
    Refused(
        "WITH old AS (SELECT id FROM chats) INSERT INTO chats (id) SELECT id FROM old", CHANGES
    ),
    Refused("WITH old AS (SELECT id FROM chats) MERGE INTO chats USING old ON true", CHANGES),
    Refused(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) "
        "CYCLE i SET c USING p DELETE FROM chats",
        CHANGES,
    ),
    Refused(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) "
        "SEARCH DEPTH FIRST BY i SET insert DELETE FROM chats",
        CHANGES,
    ),
    Refused("SELECT id FROM (DELETE FROM chats RETURNING id) AS gone", CHANGES),
    Refused("SELECT id FROM FINAL TABLE (INSERT INTO chats (id) VALUES ('c'))", CHANGES),
    Refused("SELECT id INTO copied FROM chats", CHANGES),
    Refused("SELECT INTO copied FROM chats", CHANGES),
    Refused("SELECT id INTO TEMPORARY copied FROM chats", CHANGES),
    Refused("SELECT id FROM chats INTO OUTFILE '/tmp/chats'", CHANGES),
    Refused("SELECT id, insert FROM (DELETE FROM chats RETURNING id) AS gone", CHANGES),
    # one that keeps others from writing
    Refused("SELECT id FROM chats FOR UPDATE", LOCKS),
    Refused("SELECT id FROM chats FOR UPDATE OF chats SKIP LOCKED", LOCKS),
    Refused("SELECT id FROM chats FOR NO KEY UPDATE", LOCKS),
    Refused("SELECT id FROM (SELECT id FROM chats FOR UPDATE) AS locked", LOCKS),
    # no end
    Refused("SELECT id FROM chats WHERE plan = 'it", OPEN),
)
