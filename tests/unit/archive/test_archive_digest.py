"""The canonical digest sees everything that is said, and nothing of how it is spelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from archive_exports import container, item, run, stream
from hypothesis import given
from hypothesis import strategies as st

from janitor.archive import fingerprint
from janitor.errors import RefusedError
from janitor.kinds import CATALOGUE
from janitor.model import Kind, Record

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=4)
VOLATILE = [(kind, field) for kind in Kind for field in sorted(CATALOGUE[kind].volatile)]


def digest(*records: Record, kind: Kind = Kind.CONVERSATION) -> str:
    return asyncio.run(fingerprint(kind, stream(records))).digest


def record(body: object, *, is_item: bool = True) -> Record:
    return Record("x", json.dumps(body).encode(), is_item)


def shuffled(value: object) -> object:
    match value:
        case dict():
            return {key: shuffled(value[key]) for key in reversed(value)}
        case list():
            return [shuffled(inner) for inner in value]
        case _:
            return value


def sort_of(value: object) -> object:
    """A value that equals another only where JSON says the same (1 is not 1.0, nor true)."""
    match value:
        case dict():
            return {key: sort_of(inner) for key, inner in value.items()}
        case list():
            return [sort_of(inner) for inner in value]
        case _:
            return type(value).__name__, repr(value)


@given(OBJECTS)
def test_the_order_of_keys_and_spaces_do_not_matter(body: dict[str, Any]) -> None:
    spaced = Record("x", json.dumps(shuffled(body), indent=1).encode(), is_item=True)
    assert digest(container(), record(body)) == digest(container(), spaced)


@given(OBJECTS, OBJECTS, st.booleans())
def test_two_contents_that_differ_have_two_digests(
    one: dict[str, Any], other: dict[str, Any], is_item: bool
) -> None:
    same = sort_of(one) == sort_of(other)
    digests = {digest(container(), record(body, is_item=is_item)) for body in (one, other)}
    assert (len(digests) == 1) == same


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_every_item_its_order_and_its_text_count(one: list[str], other: list[str]) -> None:
    def of(texts: Sequence[str]) -> str:
        return digest(container(), *(item("msg", text) for text in texts))

    assert (of(one) == of(other)) == (one == other)


@pytest.mark.parametrize(("kind", "field"), VOLATILE)
def test_volatile_fields_of_the_container_do_not_count(kind: Kind, field: str) -> None:
    assert digest(container(**{field: "a"}), kind=kind) == digest(container(), kind=kind)


@pytest.mark.parametrize(("kind", "field"), VOLATILE)
def test_the_same_fields_of_an_item_count(kind: Kind, field: str) -> None:
    changed = digest(container(), item("msg_1", **{field: "a"}), kind=kind)
    assert changed != digest(container(), item("msg_1"), kind=kind)


@given(st.dictionaries(st.text().map(lambda key: f"janitor_{key}"), st.text(), max_size=4))
def test_marks_of_our_own_in_metadata_do_not_count(marks: dict[str, str]) -> None:
    assert digest(container(metadata={"a": "b", **marks})) == digest(container(metadata={"a": "b"}))


def test_other_metadata_counts() -> None:
    variants = [{}, {"a": "b"}, {"a": "c"}, {"janitor": "x"}, {"xjanitor_": "x"}]
    assert len({digest(container(metadata=metadata)) for metadata in variants}) == len(variants)
    assert digest(container(metadata={})) != digest(container())


def test_a_run_that_appeared_since_counts() -> None:
    assert digest(container(), run("run_1")) != digest(container())


def test_the_id_counts() -> None:
    assert digest(container("conv_a")) != digest(container("conv_A"))
    bodies = (Record(name, b"{}", is_item=True) for name in ("a", "b"))
    assert len({digest(container(), body) for body in bodies}) == 2


def test_what_a_record_is_counts() -> None:
    as_item, as_other = (record({}, is_item=is_item) for is_item in (True, False))
    assert digest(container(), as_item) != digest(container(), as_other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"18446744073709551616", b"18446744073709551617"),
        (b"-18446744073709551616", b"-18446744073709551617"),
        (b"[1,18446744073709551616]", b"[1,18446744073709551617]"),
        (b'"\\ud800"', b'"\\ud801"'),
        (b'"\\ud800"', b'"?"'),
        (b"0", b"-0.0"),
        (b"1", b"1.0"),
        (b"1", b"true"),
        (b"null", b'""'),
    ],
)
def test_neighbours_are_told_apart(one: bytes, other: bytes) -> None:
    bodies = (Record("x", b'{"v":%b}' % value, is_item=True) for value in (one, other))
    assert len({digest(container(), body) for body in bodies}) == 2


def test_an_empty_export_has_no_fingerprint() -> None:
    with pytest.raises(RefusedError, match="empty"):
        digest()
