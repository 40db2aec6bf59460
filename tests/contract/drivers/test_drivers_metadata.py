from __future__ import annotations

import pytest
from container_server import ID, Server, run
from hypothesis import given
from hypothesis import strategies as st

from janitor.drivers.container import merged
from janitor.errors import RefusedError
from janitor.kinds import CATALOGUE, METADATA_PAIRS
from janitor.model import Kind

WITH_METADATA = [kind for kind in Kind if CATALOGUE[kind].has_metadata]
FULL = {f"key_{n}": "x" for n in range(METADATA_PAIRS)}
MAPS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=8)
CHANGES = st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=5), max_size=8)


def written(server: Server, changes: dict[str, str | None]) -> object:
    run(server.kind, server, lambda driver: driver.write_metadata(ID, changes))
    assert server.container is not None
    return server.container["metadata"]


def full(kind: Kind) -> Server:
    server = Server(kind)
    assert server.container is not None
    server.container["metadata"] = dict(FULL)
    return server


@pytest.mark.parametrize("kind", WITH_METADATA)
def test_a_write_sets_and_removes_and_leaves_the_rest(kind: Kind) -> None:
    server = Server(kind)
    assert written(server, {"mark": "x"}) == {"plan": "trial", "mark": "x"}
    assert written(server, {"mark": None, "other": "y"}) == {"plan": "trial", "other": "y"}


@pytest.mark.parametrize("kind", WITH_METADATA)
def test_removing_the_last_key_leaves_an_empty_map(kind: Kind) -> None:
    assert written(Server(kind), {"plan": None}) == {}


@pytest.mark.parametrize("kind", WITH_METADATA)
@pytest.mark.parametrize("changes", [{}, {"absent": None}, {"plan": "trial"}])
def test_a_change_that_changes_nothing_writes_nothing(
    kind: Kind, changes: dict[str, str | None]
) -> None:
    server = Server(kind)
    written(server, changes)
    assert server.calls == [("GET", "container")]


@pytest.mark.parametrize("kind", WITH_METADATA)
@pytest.mark.parametrize(
    "changes", [{"mark": "x"}, {"k" * 65: "x", "key_0": None}, {"key_0": "v" * 513}]
)
def test_more_than_the_api_takes_is_refused_before_the_write(
    kind: Kind, changes: dict[str, str | None]
) -> None:
    server = full(kind)
    with pytest.raises(RefusedError):
        written(server, changes)
    assert server.calls == [("GET", "container")]


@pytest.mark.parametrize("kind", WITH_METADATA)
def test_a_key_can_be_exchanged_where_none_is_free(kind: Kind) -> None:
    found = written(full(kind), {"key_0": None, "mark": "x"})
    assert found == {key: "x" for key in [*FULL, "mark"] if key != "key_0"}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in WITH_METADATA])
def test_a_kind_without_metadata_refuses_before_any_call(kind: Kind) -> None:
    server = Server(kind)
    with pytest.raises(RefusedError):
        run(kind, server, lambda driver: driver.write_metadata(ID, {"mark": "x"}))
    assert server.requests == []


@pytest.mark.slow
@given(MAPS, CHANGES)
def test_a_merge_touches_only_the_keys_it_names(
    current: dict[str, str], changes: dict[str, str | None]
) -> None:
    result = merged(current, changes, "conversation box_1")
    assert {key: result[key] for key in result if key not in changes} == {
        key: current[key] for key in current if key not in changes
    }
    assert {key: result.get(key) for key in changes} == changes
