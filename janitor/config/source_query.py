"""What the text of a source's query shows: if it only reads, skips rows, or asks for newer ones.

The read-only session is what keeps a query from changing anything; these checks come earlier and
explain better. A query is parsed in the dialect of its address. One that sqlglot cannot parse is
judged by its words alone, so that no valid query is refused because a parser does not know it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

DIALECTS = {
    "sqlite": "sqlite",
    "postgres": "postgres",
    "postgresql": "postgres",
    "cockroachdb": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
    "mssql": "tsql",
    "oracle": "oracle",
}
# All are tried if the address is a secret, or if the engine is none of the above.
GUESSES = ("postgres", "mysql", "sqlite", "tsql")

READS = {"SELECT", "WITH", "VALUES", "TABLE"}
CHANGES = {"INSERT", "UPDATE", "DELETE", "MERGE"}
T_SQL_STATEMENTS = {"DROP", "TRUNCATE", "ALTER", "CREATE", "EXEC", "EXECUTE", "GRANT", "SET"}
# No statement begins after one of these: what follows is a name.
BEFORE_A_NAME = {
    *("SELECT", "DISTINCT", "WHERE", "AND", "OR", "NOT", "ON", "ORDER BY", "GROUP BY", "AS"),
    *(",", ".", "=", "<", ">", "<=", ">=", "<>", "!="),
}
ROWS = {"FIRST", "NEXT"}  # FETCH FIRST 5 ROWS ONLY
ONE = {"1", "ROW", "ROWS"}  # FETCH FIRST ROW ONLY
WATERMARK = "watermark"
# Characters that turn a `>` or `<` next to them into another operator, such as `->`, `@>` or `<=>`.
JOINED_BEFORE = tuple("-<>=!@&|#~?*%^+/")
JOINED_BEHIND = tuple("-<>=@&|")


def backend_of(url: str) -> str:
    """The engine that an address names: `postgresql` for `postgresql+psycopg://...`."""
    return url.partition(":")[0].partition("+")[0].lower()


def only_read(query: str, backend: str | None) -> str:
    """The query without the semicolons at its end.

    `backend` is the engine as an address names it, or `None` if it is not known: then no dialect
    that can parse the query may see a change in it.

    Raises:
        ValueError: It is not one statement that only reads; the message says why.
    """
    readings = _readings(query, backend)
    if not readings:
        raise ValueError("the query ends within a quoted text or a comment: close it")
    for reading in readings:
        if reading.has_executable_comment():
            raise ValueError("MySQL would run what is in `/*! ... */`: remove it, or the `!`")
        reading.require_one_read(is_known=backend in DIALECTS)
    return query[: readings[0].end].strip()


def shortened_by(query: str, backend: str | None) -> str | None:
    """The word by which a query leaves out rows that meet its conditions, or `None`."""
    words = (reading.shortened_by() for reading in _readings(query, backend))
    return next((word for word in words if word is not None), None)


def require_all_rows(query: str, backend: str | None) -> None:
    """Refuse a query that leaves out rows, for a source whose vanished threads expire.

    Raises:
        ValueError: It leaves out rows; the message says by which word.
    """
    if (word := shortened_by(query, backend)) is not None:
        raise ValueError(
            f"with `expire_after`, rows that `{word}` leaves out would count as vanished: "
            f"remove `{word}`, or write on_vanish: keep"
        )


def uses_watermark(query: str, backend: str | None) -> bool:
    """Whether `:watermark` occurs in the query, outside of quotes and comments."""
    return any(reading.watermarks() for reading in _readings(query, backend))


def is_newer_alone(query: str, backend: str | None) -> bool:
    """Whether a query uses the watermark only to ask for what is newer."""
    readings = _readings(query, backend)[:1]
    return all(None not in reading.comparisons() for reading in readings)


def compared_by(query: str, backend: str | None, operator: str) -> str:
    """The query with `operator` in place of each operator that compares with the watermark."""
    readings = _readings(query, backend)[:1]
    spans = [span for one in readings for span in one.comparisons() if span is not None]
    return operator.join(_around(query, spans))


def around_watermarks(query: str, backend: str | None) -> list[str]:
    """The pieces of a query between its uses of `:watermark`."""
    readings = _readings(query, backend)[:1]
    return _around(query, [span for one in readings for span in one.watermarks()])


def _around(query: str, spans: list[slice]) -> list[str]:
    starts = [0, *(span.stop for span in spans)]
    ends = [*(span.start for span in spans), len(query)]
    return [query[start:end] for start, end in zip(starts, ends, strict=True)]


@dataclass(frozen=True, slots=True)
class _ParsedQuery:
    """A query as one dialect reads it.

    `words` are its words and signs in capitals, empty for what is quoted; `places` is where each
    one is. `statements` is `None` if sqlglot cannot parse the query.
    """

    dialect: str
    query: str
    words: tuple[str, ...]
    places: tuple[slice, ...]
    statements: tuple[Expr | None, ...] | None

    @property
    def end(self) -> int:
        """Where the query ends, without the semicolons after it."""
        number = self._length()
        return len(self.query) if number == len(self.words) else self.places[number].start

    def _length(self) -> int:
        number = len(self.words)
        while number and self.words[number - 1] == ";":
            number -= 1
        return number

    def require_one_read(self, *, is_known: bool) -> None:
        """Raise ValueError unless this is one statement that only reads.

        `is_known` says whether the engine is known.
        """
        first = next((word for word in self.words if word != "("), None)
        if first not in READS or ";" in self.words[: self._length()]:
            raise ValueError("the query must be one SELECT (or WITH ... SELECT)")
        if any(before in {"FOR", "KEY"} and word == "UPDATE" for before, word in self._pairs()):
            raise ValueError("the query must only read, but `FOR UPDATE` locks rows; remove it")
        changes = "the query must only read, but `{}` changes data; remove it"
        if (word := self._change()) is not None:
            raise ValueError(changes.format(word))
        if (word := self._change_by_words(is_known=is_known)) is not None:
            raise ValueError(f"{changes.format(word)}, or quote it if it is a name")

    def has_executable_comment(self) -> bool:
        """Whether MySQL would run what other engines treat as a comment."""
        starts = [0, *(place.stop for place in self.places)]
        ends = [*(place.start for place in self.places), len(self.query)]
        between = (self.query[start:end] for start, end in zip(starts, ends, strict=True))
        return self.dialect == "mysql" and any("/*!" in text for text in between)

    def _pairs(self) -> Iterator[tuple[str, str]]:
        return pairwise(self.words)

    def _change(self) -> str | None:
        """The word for the part of the query that changes something, or `None`."""
        from sqlglot import exp

        changes = (exp.DML, exp.DDL, exp.Command, exp.Into)
        for statement in self.statements or ():
            for node in statement.walk() if statement is not None else ():
                if isinstance(node, changes):
                    return node.key.upper()
        into = (word for before, word in self._pairs() if before not in {".", "AS"})
        return "INTO" if "INTO" in into else None

    def _change_by_words(self, *, is_known: bool) -> str | None:
        """A word that may begin a statement, if no parser says whether it does."""
        before_a_name = BEFORE_A_NAME
        if self.statements is not None:
            if self.dialect != "tsql":
                return None
            # T-SQL needs no semicolon between statements, and its parser takes DELETE for an alias.
            before_a_name = {*BEFORE_A_NAME, "("}
        is_t_sql = is_known and self.dialect == "tsql"
        statements = CHANGES | T_SQL_STATEMENTS if is_t_sql else CHANGES
        found = (word for before, word in self._pairs() if before not in before_a_name)
        return next((word for word in found if word in statements), None)

    def shortened_by(self) -> str | None:
        """The word by which the query leaves out rows, or `None`."""
        if self.statements is None:
            return self._shortened_by_words()
        found = (self._shortened_by_tree(one) for one in self.statements if one is not None)
        return next((word for word in found if word is not None), None)

    def _shortened_by_tree(self, statement: Expr) -> str | None:
        from sqlglot import exp

        outer = {id(query) for query in _outer_queries(statement)}
        if statement.find(exp.TableSample) is not None:
            return "SAMPLE" if "SAMPLE" in self.words else "TABLESAMPLE"
        for node in (*statement.find_all(exp.Limit, exp.Fetch), *statement.find_all(exp.Offset)):
            if isinstance(node.find_ancestor(exp.AggFunc, exp.Query), exp.AggFunc):
                continue  # it leaves out values of an aggregate, not rows
            query = node.parent
            is_nested = query is not None and id(query) not in outer
            # In a subquery, one row is a value, such as the time of a chat's last message.
            if query is not None and is_nested and _is_one_row(query.args.get("limit")):
                continue
            name = node.key.upper()
            return "TOP" if name == "LIMIT" and name not in self.words else name
        return None

    def _shortened_by_words(self) -> str | None:
        depth = 0
        for number, word in enumerate(self.words):
            depth += (word == "(") - (word == ")")
            before = self.words[max(number - 2, 0) : number]
            if before[-1:] in {(".",), ("AS",)}:
                continue
            match self.words[number : number + 4]:
                case ("LIMIT", "1", ",", *_):
                    return word
                case ("LIMIT" | "TOP", "1", *_) | ("TOP", "(", "1", *_) if depth:
                    continue
                case ("FETCH", where, count, *_) if depth and where in ROWS and count in ONE:
                    continue
                case ("OFFSET", *_) if depth and before == ("LIMIT", "1"):
                    continue
                case ("LIMIT", *_):
                    return word
                case ("FETCH", where, *_) if where in ROWS:
                    return word
                case ("TOP", "(", count, *_) | ("TOP" | "OFFSET", count, *_) if count.isdecimal():
                    return word
                case _:
                    pass
        return None

    def watermarks(self) -> list[slice]:
        """Where `:watermark` is used as a parameter."""
        return [
            slice(self.places[number].start, self.places[number + 1].stop)
            for number in self._watermarks()
        ]

    def _watermarks(self) -> Iterator[int]:
        for number, (colon, name) in enumerate(pairwise(self.places)):
            if self.words[number] != ":" or self.query[name] != WATERMARK:
                continue
            before = self.query[: colon.start][-1:]
            is_joined = before in {":", "\\", "_"} or before.isalnum()
            behind = self.words[number + 2 : number + 3]
            if colon.stop == name.start and not is_joined and behind != (":",):
                yield number

    def comparisons(self) -> list[slice | None]:
        """For each watermark, where the operator that asks for what is newer is, or `None`."""
        return [self._comparison(number) for number in self._watermarks()]

    def _comparison(self, colon: int) -> slice | None:
        behind = colon + 2
        while self.words[behind : behind + 1] == ("::",):
            behind += 2
        if self.words[behind : behind + 1] in {("<",), ("<=",)}:
            place = self.places[behind]
            if not self.query.startswith(JOINED_BEHIND, place.stop):
                return place
        before = colon - 1
        while before >= 0 and self.words[before] == "(":
            before -= 2 if self.words[before - 1] == "CAST" else 1
        if before >= 0 and self.words[before] in {">", ">="}:
            place = self.places[before]
            if not self.query.endswith(JOINED_BEFORE, 0, place.start):
                return place
        return None


@lru_cache(maxsize=64)
def _readings(query: str, backend: str | None) -> tuple[_ParsedQuery, ...]:
    """How the engine reads a query, or each engine that may be meant; those that parse it, if any.

    Empty if a quote or comment in the query is unclosed in every dialect.
    """
    own = DIALECTS.get(backend or "")
    read = [_reading(query, name) for name in ((own,) if own else GUESSES)]
    whole = [one for one in read if one is not None]
    return tuple([one for one in whole if one.statements is not None] or whole)


def _reading(query: str, name: str) -> _ParsedQuery | None:
    from sqlglot.dialects.dialect import Dialect
    from sqlglot.errors import SqlglotError

    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what it treats as a command
    dialect = Dialect.get_or_raise(name)
    try:
        tokens = dialect.tokenize(query)
    except SqlglotError:
        return None
    statements: tuple[Expr | None, ...] | None
    try:
        statements = tuple(dialect.parse(query))
    except Exception:  # noqa: BLE001 - however the parser fails, the words are left to judge by
        statements = None
    places = tuple(slice(token.start, token.end + 1) for token in tokens)
    plain = (query[where] == token.text for where, token in zip(places, tokens, strict=True))
    words = tuple(
        _whole_number(query, " ".join(token.text.upper().split()), where) if is_plain else ""
        for token, is_plain, where in zip(tokens, plain, places, strict=True)
    )
    return _ParsedQuery(name, query, words, places, statements)


def _whole_number(query: str, word: str, place: slice) -> str:
    """A word; the `1` of a number such as `1_000`, which sqlglot splits in two, becomes `1_`."""
    return f"{word}_" if word.isdecimal() and query.startswith("_", place.stop) else word


def _outer_queries(statement: Expr) -> Iterator[Expr]:
    """The queries whose rows the statement returns: itself, one in brackets, arms of a UNION."""
    from sqlglot import exp

    queries = [statement]
    while queries:
        query = queries.pop()
        yield query
        if isinstance(query, exp.SetOperation):
            queries += [query.left, query.right]
        elif isinstance(query, exp.Subquery):
            queries.append(query.this)


def _is_one_row(limit: object) -> bool:
    """Whether a LIMIT, FETCH or TOP leaves one row: `LIMIT 1`, `FETCH FIRST ROW ONLY`."""
    from sqlglot import exp

    if not isinstance(limit, exp.Limit | exp.Fetch):
        return False
    options = limit.args.get("limit_options")
    if options is not None and options.args.get("percent"):
        return False
    count = limit.args.get("expression") or limit.args.get("count")
    if count is None:
        return isinstance(limit, exp.Fetch)
    return isinstance(count, exp.Literal) and count.name == "1"
