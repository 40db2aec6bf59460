"""docs/policies.md: its recipes pass their fixtures, and the examples of its keys are accepted."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from janitor.cli import execute
from janitor.config import load, parse
from janitor.config.explain import explain
from janitor.config.fixtures import ExpectForm, ManyForm, OneForm, ThreadForm
from janitor.config.forms import (
    ArchiveForm,
    DeleteForm,
    HoldsForm,
    LifetimeForm,
    LimitsForm,
    MatchForm,
    PolicyForm,
    SoftDeleteForm,
)
from janitor.model import Reason

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
FIXTURES = sorted((ROOT / "config" / "recipes").glob("*_test.yaml"))
RECIPES = sorted({*(ROOT / "config" / "recipes").glob("*.yaml")} - {*FIXTURES})
MOST_LINES = 10
LINE = "# ---\n"
WITHOUT_UNDO = "temporary-chats deletes without undo: it neither archives nor soft-deletes first"

BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `(?P<key>[^`]+)` [^|]*\| [^|]+ \| `(?P<example>[^`]+)` \| ", re.MULTILINE)
FILE = {"version": 1, "registry": {}, "projects": {"main": {"api_key": ""}}}


def name_of(path: Path) -> str:
    return path.stem


def part(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.fixture
def handlers() -> Iterator[None]:
    """A log handler holds on to the stream of its first call."""
    before = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = before


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_a_recipe_passes_its_fixtures(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixtures = recipe.with_name(f"{recipe.stem}_test.yaml")
    code = execute(["--config", str(recipe), "test", str(fixtures)])
    told = capsys.readouterr().out
    assert code == 0, told
    assert told.endswith(" passed, 0 failed\n")
    assert not told.startswith("0 passed")


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_a_recipe_surprises_nobody(recipe: Path) -> None:
    expected = [WITHOUT_UNDO] if recipe.stem == "temporary_chats" else []
    warnings = explain(load(recipe, environment=False)).warnings
    assert [one.partition(" ")[2] for one in warnings] == expected


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_the_page_shows_the_policies_of_a_recipe_as_they_stand(recipe: Path) -> None:
    policies = recipe.read_text(encoding="utf-8").partition(LINE)[2]
    assert 0 < len(policies.splitlines()) <= MOST_LINES
    assert f"](../config/recipes/{recipe.name})" in PAGE
    assert policies in BLOCK.findall(part("Recipes"))


def test_every_recipe_has_fixtures_and_every_block_a_file() -> None:
    assert [f"{path.stem}_test" for path in RECIPES] == [path.stem for path in FIXTURES]
    assert len(BLOCK.findall(part("Recipes"))) == len(RECIPES)


@pytest.mark.parametrize("heading", ["Which threads", "What happens, and when"])
def test_the_example_of_a_policys_key_is_accepted(heading: str) -> None:
    rows = ROW.findall(part(heading))
    for key, example in rows:
        said = yaml.safe_load(example)
        assert key.partition(":")[0].partition(".")[0] in said
        policy = {"name": "example", "match": {"kind": "thread"}, "keep": "forever", **said}
        parse({**FILE, "policies": [policy if "default" not in said else without_match(policy)]})


def without_match(policy: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in policy.items() if key != "match"}


def test_the_example_of_a_key_of_the_file_is_accepted() -> None:
    for key, example in ROW.findall(part("For all policies")):
        said = yaml.safe_load(example)
        assert key.partition(".")[0] in said
        parse({**FILE, **said, "policies": []})


def test_every_key_has_its_row() -> None:
    forms: dict[str, type[BaseModel]] = {
        "match.": MatchForm,
        "archive.": ArchiveForm,
        "soft_delete.": SoftDeleteForm,
    }
    named = {f"{prefix}{key}" for prefix, form in forms.items() for key in form.model_fields}
    named |= {f"delete.{key}" for key in DeleteForm.model_fields}
    named |= {one.alias or key for key, one in PolicyForm.model_fields.items()}
    listed = {
        key
        for heading in ("Which threads", "What happens, and when")
        for key, _ in ROW.findall(part(heading))
    }
    assert named - listed == {"name", "trim", "archive", "soft_delete", "delete"}
    of_file: dict[str, type[BaseModel]]
    of_file = {"lifetime": LifetimeForm, "holds": HoldsForm, "limits": LimitsForm}
    keys = {f"{name}.{key}" for name, form in of_file.items() for key in form.model_fields}
    assert keys <= {key for key, _ in ROW.findall(part("For all policies"))}


def test_every_key_of_a_fixture_is_named() -> None:
    told = part("Fixtures: test a file")
    forms: list[type[BaseModel]] = [ThreadForm, ExpectForm, OneForm, ManyForm]
    for form in forms:
        assert [key for key in form.model_fields if f"`{key}`" not in told] == []
    row = next(line for line in told.splitlines() if line.startswith("| `reason`"))
    named = set(re.findall(r"`(\w+)`", row)) - {"reason"}
    assert named <= set(Reason)
