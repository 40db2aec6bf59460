from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from janitor.config.yaml_source import MAX_BYTES, MAX_NODES, parse_document, read_document
from janitor.errors import ConfigError, Place

SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=12)
KEYS = st.text("abcdefgh", min_size=1, max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def refused(content: bytes) -> tuple[str, Place | None]:
    with pytest.raises(ConfigError) as caught:
        parse_document(content, "f.yaml")
    (refusal,) = caught.value.refusals
    return refusal.message, refusal.place


@given(VALUES)
def test_what_yaml_writes_reads_back_as_the_same(value: object) -> None:
    document = parse_document(yaml.safe_dump(value).encode(), "f.yaml")
    assert document.value == value
    assert document.refusals == ()


def bomb(levels: int, width: int) -> bytes:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines).encode()


def test_a_bomb_is_refused_before_it_is_composed() -> None:
    content = bomb(60, 9)
    assert len(content) < 4096
    message, place = refused(content)
    assert "expanded aliases" in message
    assert place is not None
    assert place.line < 10


def test_merges_count_as_what_they_bring() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{p: *a{i - 1}, q: *a{i - 1}, <<: *a{i - 1}}}" for i in range(1, 40)]
    assert "expanded aliases" in refused("\n".join(lines).encode())[0]


def test_nodes_are_bounded_exactly() -> None:
    fits = b"[" + b"x," * (MAX_NODES - 1) + b"]"
    assert len(parse_document(fits, "f.yaml").value) == MAX_NODES - 1
    assert "nodes" in refused(b"[" + b"x," * MAX_NODES + b"]")[0]


def test_bytes_are_bounded_exactly(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\n#" + b"x" * (MAX_BYTES - 6))
    assert read_document(path).value == {"a": 1}
    path.write_bytes(b"a: 1\n#" + b"x" * (MAX_BYTES - 5))
    with pytest.raises(ConfigError) as caught:
        read_document(path)
    assert "1 MiB" in caught.value.refusals[0].message


def test_deep_nesting_is_refused() -> None:
    assert "deep" in refused(b"[" * 20_000)[0]
    deep = "\n".join([f"a{i}: &a{i} [*a{i - 1}]" if i else "a0: &a0 [x]" for i in range(100)])
    assert "deep" in refused(deep.encode())[0]


def test_undecodable_bytes_are_shown_where_they_stand() -> None:
    message, place = refused("a: 1\nb: ü".encode() + b"\xff\n")
    assert "UTF-8" in message
    assert place == Place("f.yaml", 2, 5)


@pytest.mark.parametrize("content", [b"a: \x00", b"a: \x1b[2J"])
def test_control_characters_are_refused(content: bytes) -> None:
    assert "control characters" in refused(content)[0]


def test_a_byte_order_mark_is_no_content() -> None:
    assert parse_document(b"\xef\xbb\xbfa: 1", "f.yaml").value == {"a": 1}


def test_a_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml does not exist"):
        read_document(tmp_path / "absent.yaml")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_document(tmp_path)
    assert "directory" in caught.value.refusals[0].message


def test_a_merge_gives_way_to_the_keys_beside_it() -> None:
    content = b"base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {y: 3, <<: *b}\nagain: *b"
    document = parse_document(content, "f.yaml")
    assert document.value["one"] == document.value["two"] == {"x": 1, "y": 3}
    assert document.refusals == ()


def test_an_alias_stands_where_its_anchor_does() -> None:
    document = parse_document(b"one: &a {x: 1}\ntwo: *a", "f.yaml")
    assert document.place(("two", "x")) == Place("f.yaml", 1, 13)


@pytest.mark.parametrize(
    "text",
    ["!!int ''", "!!bool 3", "!!float x", "!x 5", "0x10", "1_000", "True", "~x: [", "2026-99-99"],
)
def test_odd_scalars_are_refused_and_never_crash(text: str) -> None:
    try:
        assert parse_document(f"a: {text}".encode(), "f.yaml").refusals
    except ConfigError as error:
        assert error.refusals  # noqa: PT017 - either way is a refusal


@given(st.binary(max_size=60) | st.text("[]{}:,-&*!|>'\"#%@`? \n\tab0~<=", max_size=40))
def test_nothing_but_a_refusal_ever_comes_out(content: bytes | str) -> None:
    raw = content.encode() if isinstance(content, str) else content
    try:
        parse_document(raw, "f.yaml")
    except ConfigError as error:
        assert error.refusals  # noqa: PT017 - whatever is not YAML is refused with a place
