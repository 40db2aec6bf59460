"""Everything wrong with a document at once: each part is judged by itself, then together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from janitor.config.document import DocumentPath
from janitor.config.forms import FileForm
from janitor.config.policy_forms import PolicyForm
from janitor.config.problems import Problem, shape_problems, unknown_key
from janitor.config.unbuilt import unbuilt_paths, without


@dataclass(frozen=True, slots=True)
class Draft:
    """The parts of a document whose shape is right; a part that is not is left out.

    `damaged` holds policies without those of their keys that are wrong. `project_names` holds
    every project that the document names, whatever its shape.
    """

    sections: dict[str, Any] = field(default_factory=dict)
    policies: dict[int, PolicyForm] = field(default_factory=dict)
    damaged: dict[int, PolicyForm] = field(default_factory=dict)
    project_names: frozenset[str] = frozenset()


def draft(document: object) -> tuple[Draft, list[Problem]]:
    """The sound parts of a document, and what is wrong with the shape of the others."""
    if not isinstance(document, dict):
        return Draft(), [Problem((), "the file must be a mapping that begins with version: 1")]
    early = frozenset(unbuilt_paths(document))
    problems = [_not_built(path) for path in sorted(early, key=str)]
    sound = cast("dict[str, Any]", without(document, early))
    found = Draft(project_names=_names(sound.get("projects")))
    problems += [unknown_key((key,), FileForm.model_fields) for key in sound if key not in _PARTS]
    for name in _PARTS:
        problems += _part(name, sound, found)
    return found, problems


def _not_built(path: DocumentPath) -> Problem:
    return Problem(path, f"`{path[-1]}` is documented but not built yet; remove it", at_key=True)


def _names(projects: object) -> frozenset[str]:
    return frozenset(map(str, projects)) if isinstance(projects, dict) else frozenset()


def _part(name: str, document: Mapping[str, Any], found: Draft) -> Iterator[Problem]:
    info = FileForm.model_fields[name]
    if name not in document:
        if info.is_required():
            yield Problem((name,), f"`{name}` is required")
        else:
            found.sections[name] = info.default
    elif name == "policies" and isinstance(document[name], list):
        for index, item in enumerate(document[name]):
            yield from _policy(index, item, found)
    else:
        try:
            found.sections[name] = _PARTS[name].validate_python(document[name])
        except ValidationError as error:
            yield from shape_problems(error, SCHEMA, (name,))


def _policy(index: int, item: object, found: Draft) -> Iterator[Problem]:
    try:
        found.policies[index] = PolicyForm.model_validate(item)
    except ValidationError as error:
        yield from shape_problems(error, SCHEMA, ("policies", index))
        wrong = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
        _rest(index, item, wrong, found)


def _rest(index: int, item: object, wrong: Collection[object], found: Draft) -> None:
    if isinstance(item, dict) and "name" in item and "name" not in wrong:
        rest = {k: value for k, value in item.items() if isinstance(k, str) and k not in wrong}
        found.damaged[index] = PolicyForm.model_validate(rest)


SCHEMA = FileForm.model_json_schema()
_PARTS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(info.rebuild_annotation()) for name, info in FileForm.model_fields.items()
}
