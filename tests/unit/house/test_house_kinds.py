"""What a kind is stands in the catalogue alone, so that a fifth kind is an entry there.

Beside it, a kind has a driver and an emulation, each in a file named after it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from figures import Source, read, sources

from janitor.drivers.catalogue import driver_class
from janitor.emulator.kind import emulated
from janitor.kinds import CATALOGUE, Kind

CATALOGUE_FILE = "janitor/kinds.py"
OWN_FILES = {
    f"janitor/{room}/{kind.value}.py": kind for room in ("drivers", "emulator") for kind in Kind
}
# What other files may say of a kind, and why.
ALLOWED: dict[str, dict[str, str]] = {
    "janitor/cli/doctor.py": {"Kind.CONVERSATION": "the canary of `doctor --canary` is one"},
    "janitor/config/starter.py": {"conversation_id": "a column of an example's query"},
    "janitor/demo.py": {
        "conv_": "an id in a report of the demo",
        "chatkit_thread": "the demo's policies and reports show one",
        "agent_session": "likewise",
    },
    "janitor/emulator/emulator.py": {
        f"Kind.{kind.name}": "has a method of its own in `janitor.testing`; a new one has `add`"
        for kind in (Kind.CONVERSATION, Kind.THREAD, Kind.CHATKIT_THREAD, Kind.AGENT_SESSION)
    },
    "janitor/emulator/responses.py": {"conversation": "a field of the API's responses"},
    "janitor/emulator/chatkit_thread.py": {"thread_id": "a field of ChatKit's items"},
    "janitor/sources/suggest_columns.py": {"session_id": "a label: the application's own session"},
}

WORDS = {
    str(word)
    for kind, trait in CATALOGUE.items()
    for word in (kind, trait.noun, trait.path, trait.beta, *trait.prefixes, *trait.column_names)
    if word is not None
}
# Janitor's own word for any container, and the name of their table: it tells nothing.
WORDS -= {"thread"}


def facts(source: Source) -> Iterator[str]:
    """What a file says of kinds by itself, outside its docstrings: members, and the API's words."""
    prose = {id(node.value) for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id="Kind"), attr=name) if name in Kind.__members__:
                yield f"Kind.{name}"
            case ast.Constant(value=str() | bytes() as value) if id(node) not in prose:
                text = value if isinstance(value, str) else value.decode("latin-1")
                yield from sorted(word for word in WORDS if says(text, word))


def says(text: str, word: str) -> bool:
    """Whether a text has the word; of `conversation`, which is English too, it must be all."""
    if word.isalpha():
        return text == word
    before = "(?<!/api)" if word.startswith("/") else r"(?<![\w.-])"  # `/api/threads` is janitor's
    after = r"(?![\w.-])"
    if word.endswith("_"):  # `thread_locked` is no id
        after = "(?![a-z])" if word[:-1] in {*Kind} else ""
    return re.search(f"{before}{re.escape(word)}{after}", text) is not None


def allowed(path: str) -> set[str]:
    """What a file may say of kinds; a kind's own files may name that kind, and its fields."""
    own = OWN_FILES.get(path)
    words = set(ALLOWED.get(path, ()))
    return words if own is None else words | {f"Kind.{own.name}", *CATALOGUE[own].column_names}


def test_no_file_but_the_catalogue_knows_what_a_kind_is() -> None:
    copies = {
        file.path: found
        for file in sources("janitor")
        if file.path != CATALOGUE_FILE and (found := set(facts(file)) - allowed(file.path))
    }
    assert copies == {}


@pytest.mark.parametrize("path", ALLOWED)
def test_what_is_allowed_is_still_said(path: str) -> None:
    (source,) = (one for one in sources("janitor") if one.path == path)
    assert set(ALLOWED[path]) <= set(facts(source))


def test_the_catalogue_has_every_kind() -> None:
    assert set(CATALOGUE) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_has_a_driver_and_an_emulation_of_its_own(kind: Kind) -> None:
    assert (driver_class(kind).kind, emulated(kind).kind) == (kind, kind)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('ID = "conv_1"', ["conv_"]),
        ('ID = b"cthr_x"', ["cthr_"]),
        ('ID = f"thread_{n}"', ["thread_"]),
        ('CODE = "thread_locked"', []),
        ('f"{base}/threads/{id}"', ["/threads"]),
        ('x = f"{base}/chatkit/threads"', ["/chatkit/threads", "/threads"]),
        ('NAMES = {"chatkit_thread": 1, "conversation": 2}', ["chatkit_thread", "conversation"]),
        ('BETA = "assistants=v2,agents=v1"', ["agents=v1", "assistants=v2"]),
        ("if kind is Kind.THREAD: ...", ["Kind.THREAD"]),
        ('OWN = "/api/threads", "the conversation", "threads"', []),
        ('"""A docstring about conv_1."""', []),
    ],
)
def test_the_scan_finds_each_sort_of_copy(line: str, found: list[str], tmp_path: Path) -> None:
    path = tmp_path / "sample.py"
    path.write_text(line, encoding="utf-8")
    assert sorted(facts(read(path, str(path)))) == found
