"""The decisions of a plan: the same in memory and on disk, whatever their number."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import orjson
from hypothesis import given
from hypothesis import strategies as st

from janitor.cli.output import as_json, json_pieces
from janitor.engine.decisions import Decisions, Planned
from janitor.engine.spill import Spill
from janitor.model import Key, Kind, Stage

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
SINCE, UNTIL = datetime(1973, 1, 1), datetime(9999, 12, 31)  # noqa: DTZ001  as it asks for them
TIMES = st.none() | st.datetimes(SINCE, UNTIL, timezones=st.just(UTC))
STAGES = st.lists(st.sampled_from(Stage), unique=True, max_size=2).map(tuple)
KEYS = st.builds(Key, TEXT, st.sampled_from(Kind), TEXT)
DECISIONS = st.lists(
    st.builds(
        Planned,
        *(KEYS, STAGES, st.none() | TEXT, TIMES, TIMES, st.none() | TEXT, TIMES, st.none() | TEXT),
        *(st.booleans(), STAGES),
    ),
    max_size=12,
)
HELD = st.integers(1, 13)
HEAD = b'["registry"]'


@given(DECISIONS, HELD)
def test_what_is_on_disk_reads_as_what_is_in_memory(planned: list[Planned], held: int) -> None:
    decisions = Decisions(planned, held=held)
    assert (len(decisions), [*decisions]) == (len(planned), planned)
    acting = [one for one in planned if one.stages]
    assert (decisions.acting, decisions.reasons) == (len(acting), {one.reason for one in acting})
    assert decisions.swept == sum(1 for one in planned if one.swept)


@given(DECISIONS, HELD)
def test_the_digest_is_that_of_the_sorted_rows_to_act_on(planned: list[Planned], held: int) -> None:
    rows = sorted(orjson.dumps(one.row()) for one in planned if one.stages)
    digest = hashlib.sha256(b"\n".join([HEAD, *rows])).hexdigest()
    assert Decisions(planned, held=held).digest(HEAD) == digest
    assert Decisions(planned).digest(HEAD) == digest


@given(DECISIONS, DECISIONS, HELD)
def test_the_digest_covers_what_was_added_after_it_was_told(
    planned: list[Planned], more: list[Planned], held: int
) -> None:
    decisions = Decisions(planned, held=held)
    decisions.digest(HEAD)
    decisions.extend(more)
    assert decisions.digest(HEAD) == Decisions([*planned, *more]).digest(HEAD)
    assert decisions.digest(b"[]") == Decisions([*planned, *more]).digest(b"[]")


@given(DECISIONS, HELD, st.integers(1, 2), st.dictionaries(TEXT, TEXT | TIMES))
def test_a_document_in_pieces_is_what_json_writes(
    planned: list[Planned], held: int, indent: int, rest: dict[str, object]
) -> None:
    whole = {"head": rest, "decisions": [one.row() for one in planned], "stops": [], "last": rest}
    rows = Decisions(planned, held=held).rows()
    pieces = json_pieces(whole | {"decisions": rows}, indent)
    assert "".join(pieces) == json.dumps(whole, indent=indent, default=as_json)


def test_an_array_of_many_pieces_is_what_json_writes() -> None:
    rows = [{"number": number, "stages": ["delete"] * (number % 3)} for number in range(2500)]
    pieces = [*json_pieces({"decisions": iter(rows)}, 2)]
    assert "".join(pieces) == json.dumps({"decisions": rows}, indent=2)
    assert max(map(len, pieces)) < len("".join(pieces)) / 2


def test_two_readers_do_not_disturb_each_other() -> None:
    spill = Spill[bytes](bytes, bytes, held=2)
    spill.extend(b"%d" % number for number in range(5))
    assert [*zip(spill, spill, strict=True)] == [(b"%d" % number,) * 2 for number in range(5)]
