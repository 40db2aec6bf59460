"""The pages for maintainers name files, rooms and states that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from figures import ROOT

from janitor.model import State

PROGRAM = ROOT / "janitor"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")

FILE = re.compile(r"(?<![\w./-])[\w*./-]+\.py\b")
OF_TESTS = re.compile(r"`(tests/[\w*./-]+)`")
LINK = re.compile(r"\]\(([\w./-]+)\)")
ROW = re.compile(r"^\| (?P<first>[^|]+) \|", re.MULTILINE)
TERMS = re.compile(r"^Terms in docs/glossary\.md: (.*)\.$", re.MULTILINE)
MOST_LINES = 200


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def exists(name: str) -> bool:
    """Whether a file stands where a page says: from the root, or from the program's directory."""
    return any(any(base.glob(name)) for base in (ROOT, PROGRAM))


def rows(text: str) -> list[str]:
    return [row["first"].strip() for row in ROW.finditer(text)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {*FILE.findall(text), *OF_TESTS.findall(text)}
    assert [name for name in sorted(named) if not exists(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_to_a_page_leads_there(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_room_has_its_line() -> None:
    listed = {room for first in rows(ARCHITECTURE) for room in re.findall(r"`(\w+)`", first)}
    found = {path.parent.name for path in PROGRAM.glob("*/__init__.py")}
    found |= {path.stem for path in PROGRAM.glob("[!_]*.py")}
    assert found - listed == set()


def test_the_diagram_of_states_has_all_of_them_and_no_other() -> None:
    diagram = ARCHITECTURE.partition("stateDiagram-v2")[2].partition("```")[0]
    drawn = {word for line in re.findall(r"(\S+) --> ([^\s:]+)", diagram) for word in line}
    assert drawn == {*State, "[*]", "reviewed"}


def test_every_invariant_of_the_safeties_has_its_line() -> None:
    safeties = "".join(
        path.read_text(encoding="utf-8") for path in ROOT.glob("tests/safeties/*.yaml")
    )
    numbered = set(re.findall(r"^- invariant: (I\d+)$", safeties, re.MULTILINE))
    assert numbered - {*rows(ARCHITECTURE)} == set()


def test_the_architecture_is_read_in_one_sitting() -> None:
    assert len(ARCHITECTURE.splitlines()) <= MOST_LINES


def test_the_glossary_is_in_alphabetical_order_and_linked() -> None:
    _, *nouns = rows(GLOSSARY)
    assert nouns == sorted(nouns)
    for page in ("README.md", "CONTRIBUTING.md", "docs/architecture.md"):
        assert "glossary.md)" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(PROGRAM.glob("*/__init__.py")), ids=lambda p: p.parent.name)
def test_the_terms_that_a_room_begins_with_are_in_the_glossary(path: Path) -> None:
    _, *nouns = rows(GLOSSARY)
    for listed in TERMS.findall(path.read_text(encoding="utf-8")):
        assert set(listed.split(", ")) - set(nouns) == set()
