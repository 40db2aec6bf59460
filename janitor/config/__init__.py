"""The configuration file: strict, with a place for every refusal; secrets stay where they are.

`parse` is pure; `load` reads the file and looks whether the environment has what it names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from janitor.config.forms import RegistryForm
from janitor.config.problems import Problem, refusal, refusals_of, refused
from janitor.config.secrets import Keeper, Secret
from janitor.config.settings import (
    ArchiveSettings,
    Azure,
    Config,
    Project,
    RegistrySettings,
    Source,
    SqlSettings,
    build,
    registry_settings,
)
from janitor.config.validation import DraftConfig, draft, problems_together
from janitor.config.yaml_source import Document, DocumentPath, read_document
from janitor.errors import ConfigError, Place

NAMING_VARIABLES = (
    ("registry", "hash_key", "env"),
    ("projects", "*", "api_key", "env"),
    ("sources", "*", "sql", "url", "env"),
)

__all__ = [
    "ArchiveSettings",
    "Azure",
    "Config",
    "Keeper",
    "Project",
    "RegistrySettings",
    "Secret",
    "Source",
    "SqlSettings",
    "load",
    "load_registry",
    "parse",
]


def parse(
    mapping: Mapping[str, Any], *, directory: Path = Path(), path: Path | None = None
) -> Config:
    """The configuration that a document's values spell. Pure: touches no file and no variable.

    Relative paths are taken from `directory`. Raises ConfigError with every refusal, each with
    its path in the document and no place.
    """
    found, problems = _judged(mapping)
    if problems:
        raise refused("the configuration", [refusal(problem) for problem in problems])
    return build(found.form(), directory, path)


def load(path: Path, *, environment: bool = True, screened: bool = True) -> Config:
    """Read and check a configuration file; relative paths are taken from its directory.

    `environment=False` leaves out whether the variables that it names exist, for what needs no
    credential. Unless `screened`, policies are as the file spells them, for what needs no registry.
    Raises ConfigError with every refusal of the file, each with line, column and path.
    """
    document = read_document(path)
    found, problems = _judged(document.value)
    if environment:
        problems += _missing_variables(document.value)
    if refusals := refusals_of(document, problems):
        raise refused(str(path), refusals)
    absolute = path.absolute()
    config = build(found.form(), absolute.parent, absolute)
    config = replace(config, places=dict(_places(document)))
    return _screened(config) if screened else config


def _places(document: Document) -> Iterator[tuple[tuple[str, str], Place]]:
    """Where each key of each policy stands in an accepted file."""
    for index, policy in enumerate(document.value["policies"]):
        for key in policy:
            if (place := document.place(("policies", index, key), at_key=True)) is not None:
                yield (policy["name"], key), place


def _screened(config: Config) -> Config:
    screen = config.registry.screen()
    return replace(config, screen=screen, policies=screen.policies(config.policies))


def load_registry(path: Path) -> RegistrySettings:
    """Where the registry is, from a file of which nothing else needs to be right.

    Raises ConfigError where the file is no YAML or its `registry` is wrong.
    """
    document = read_document(path)
    stored = document.value.get("registry") if isinstance(document.value, dict) else None
    try:
        return registry_settings(RegistryForm.model_validate(stored), path.absolute().parent)
    except ValidationError as error:
        message = (
            f"{path}: its `registry` is invalid too; run `janitor validate` to see why. For "
            "`pause` and `resume`, pass --registry URL instead"
        )
        raise ConfigError(message) from error


def _judged(value: object) -> tuple[DraftConfig, list[Problem]]:
    found, problems = draft(value)
    return found, [*problems, *problems_together(found)]


def _missing_variables(value: object) -> Iterator[Problem]:
    for path in NAMING_VARIABLES:
        for place, variable in _named(value, path, ()):
            if isinstance(variable, str) and variable.isidentifier():
                yield from _missing_variable(place, variable)


def _missing_variable(place: DocumentPath, variable: str) -> Iterator[Problem]:
    if not os.environ.get(variable):
        state = "is empty" if variable in os.environ else "is missing"
        yield Problem(place, f"the environment variable {variable} {state}; set it")


def _named(
    value: object, path: tuple[str, ...], at: DocumentPath
) -> Iterator[tuple[DocumentPath, object]]:
    """Every value at a path of the document; `*` stands for any key."""
    if not path:
        yield at, value
    elif isinstance(value, dict):
        for key in value if path[0] == "*" else [path[0]]:
            if key in value:
                yield from _named(value[key], path[1:], (*at, key))
