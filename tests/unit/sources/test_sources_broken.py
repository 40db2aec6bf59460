"""In any mixture of lines the good ones arrive, and each broken one is named exactly once."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sources_files import PROJECTS, REGISTRATIONS, jsonl, tabled

from janitor.errors import ConfigError
from janitor.kinds import CATALOGUE
from janitor.model import Kind
from janitor.registry import Registration
from janitor.sources.exporter import written
from janitor.sources.files import LONGEST, FilePosition, Rejected, lines, place_in, read

HEAD = b"id,created_at,user\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """A row as bytes without its end, on so many lines, and whether it is to be taken."""

    said: bytes
    good: bool
    lines: int = 1


GOOD = st.integers(0, 10**6).map(lambda n: f"conv_{n}".encode())
CSV_PIECES = st.one_of(
    GOOD.map(lambda one: Piece(one, good=True)),
    GOOD.map(lambda one: Piece(one + b',,"a, ""b"" c"', good=True)),
    GOOD.map(lambda one: Piece(one + b',,"first\nsecond\r\nthird"', good=True, lines=3)),
    st.just(Piece(b"", good=True)),
    st.just(Piece(b"conv 1,,", good=False)),
    st.just(Piece(b"conv_1,soon,", good=False)),
    st.just(Piece(b"conv_1,,a,b", good=False)),
    st.just(Piece(b"conv_\0,,", good=False)),
    st.just(Piece(b"conv_1,,caf\xe9", good=False)),
    st.just(Piece(b'conv_1,"2026"x,', good=False)),
    st.just(Piece(b"conv_1,," + b"v" * 200_000, good=False)),
    st.just(Piece(b"conv_1,," + b"v" * (LONGEST + 5), good=False)),
)
JSON_PIECES = st.one_of(
    GOOD.map(lambda one: Piece(b'{"id": "' + one + b'"}', good=True)),
    st.sampled_from([b"", b"  \t"]).map(lambda one: Piece(one, good=True)),
    st.sampled_from(
        [b"{", b"[]", b'{"id": "a b"}', b'{"id": 1, "x": 2}', b"\xff\xfe", b"\0", b'"' * LONGEST]
    ).map(lambda one: Piece(one, good=False)),
)
ENDS = st.sampled_from([b"\n", b"\r\n"])
BOMS = st.sampled_from([b"", b"\xef\xbb\xbf"])


def taken(data: bytes, form: str) -> tuple[list[str], list[int]]:
    """The ids that arrive and the lines that are named."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8", errors="surrogateescape", newline="")
    found = list(read(text, form, PROJECTS, "threads"))
    ids = [one.key.id for one in found if isinstance(one, Registration)]
    return ids, [one.line for one in found if isinstance(one, Rejected)]


def expected(pieces: list[Piece], line: int) -> tuple[list[str], list[int]]:
    ids, named = [], []
    for piece in pieces:
        if piece.good and piece.said.strip():
            ids.append(piece.said.decode().partition("conv_")[2].split(",")[0].split('"')[0])
        if not piece.good:
            named.append(line)
        line += piece.lines
    return [f"conv_{one}" for one in ids], named


@settings(max_examples=60, deadline=None)
@given(st.lists(CSV_PIECES, max_size=8), ENDS, BOMS)
def test_each_broken_row_of_a_csv_is_named_once(
    pieces: list[Piece], end: bytes, bom: bytes
) -> None:
    data = bom + HEAD + b"".join(piece.said + end for piece in pieces)
    assert taken(data, "csv") == expected(pieces, 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(JSON_PIECES, max_size=8), ENDS, BOMS)
def test_each_broken_line_of_jsonl_is_named_once(
    pieces: list[Piece], end: bytes, bom: bytes
) -> None:
    data = bom + b"".join(piece.said + end for piece in pieces)
    assert taken(data, "jsonl") == expected(pieces, 1)


@given(st.lists(GOOD, min_size=1, max_size=8), st.data())
def test_a_quote_that_nobody_closed_costs_its_own_line(
    ids: list[bytes], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(ids)))
    broken = [*ids[:place], b'conv_1,,"open', *ids[place:]]
    found, named = taken(HEAD + b"\n".join(broken), "csv")
    assert found == [one.decode() for one in ids]
    assert named == [place + 2]


def test_a_refused_row_of_several_lines_says_where_it_ends_and_whose_it_is() -> None:
    [found] = tabled('id,created_at,user\nconv_1,soon,"a\nb"\n')
    assert isinstance(found, Rejected)
    assert (found.line, found.last_line, found.id) == (2, 3, "conv_1")


@pytest.mark.parametrize("column", ["colour", "id", "Id"])
def test_a_column_that_is_unknown_or_twice_refuses_the_table(column: str) -> None:
    with pytest.raises(ConfigError, match=f"'{column}'"):
        tabled(f"id,{column}\nconv_1,\n")


@given(st.lists(st.binary(max_size=30), max_size=8), st.data())
def test_a_place_is_found_again_and_reading_goes_on_there(
    parts: list[bytes], data: st.DataObject
) -> None:
    whole = b"\n".join(parts)
    found = list(lines(wrapped(io.BytesIO(whole)), FilePosition()))
    assert b"".join(restored(line.text) for line in found) == whole.removeprefix(b"\xef\xbb\xbf")
    for line in found:
        binary = io.BytesIO(whole)
        place = place_in(binary, line.end.offset, line.number)
        assert place is not None
        assert place.digest.hexdigest() == line.end.digest.hexdigest()
        rest = [(one.number, one.text) for one in lines(wrapped(binary), place)]
        assert rest == [(one.number, one.text) for one in found[line.number :]]
    assert place_in(io.BytesIO(whole), len(whole) + 1, 0) is None


def wrapped(binary: io.BytesIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(binary, "utf-8", errors="surrogateescape", newline="")


def restored(text: str | None) -> bytes:
    assert text is not None
    return text.encode("utf-8", "surrogateescape")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "csv"])
@given(st.lists(REGISTRATIONS, max_size=10))
def test_what_is_written_is_read_as_it_was(form: str, said: list[Registration]) -> None:
    text = "".join(written(said, form))
    assert text.isascii()
    assert list(read(io.StringIO(text, newline=""), form, PROJECTS, "threads")) == said


@pytest.mark.parametrize("kind", Kind)
def test_each_prefix_of_the_catalogue_names_its_kind(kind: Kind) -> None:
    for prefix in CATALOGUE[kind].prefixes:
        [found] = jsonl({"id": f"{prefix}1"})
        assert isinstance(found, Registration)
        assert found.key.kind is kind
    if not CATALOGUE[kind].prefixes:
        [refused] = jsonl({"id": "sess_1"})
        assert isinstance(refused, Rejected)
        assert "no kind, and the id does not tell" in refused.reason


def test_no_row_is_lost_between_the_parser_and_the_writer() -> None:
    rows = [["id", "metadata"], ["conv_1", json.dumps({"a": 'x"\n,y'})]]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    [found] = tabled(text.getvalue())
    assert isinstance(found, Registration)
    assert found.metadata == {"a": 'x"\n,y'}
