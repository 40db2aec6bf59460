"""What is wrong with a file's shape, in sentences that say what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from janitor.config.fields import BRANCHES, NotTextError
from janitor.config.nearest import nearest
from janitor.config.yaml_source import Document, DocumentPath, spell
from janitor.errors import ConfigError, Refusal
from janitor.texts import counted

Schema = dict[str, Any]
Detail = Mapping[str, Any]

TOO_MANY_TO_LIST = 12
UNKNOWN = frozenset({"extra_forbidden", "invalid_key"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to change, at a path; `at_key` if the key and not its value is wrong.

    `wants_text` marks a scalar that must be text: if what was written is known, the message says
    to put it in quotes.
    """

    path: DocumentPath
    message: str
    at_key: bool = False
    wants_text: bool = False


def refusal(problem: Problem, document: Document | None = None) -> Refusal:
    """A problem as it is shown, with its place if the document is known."""
    if document is None:
        return Refusal(problem.message, None, spell(problem.path))
    message, written = problem.message, document.texts.get(problem.path)
    if problem.wants_text and written:
        message = f'must be text: write "{written}"'
    return Refusal(
        message, document.place(problem.path, at_key=problem.at_key), spell(problem.path)
    )


def refusals_of(document: Document, problems: Iterable[Problem]) -> list[Refusal]:
    """Everything wrong with a document.

    A scalar that YAML misreads and that its field refuses as well is refused once: as text without
    quotes if it must be text, else as misread.
    """
    listed = list(problems)
    quotes = {document.place(one.path) for one in listed if one.wants_text}
    misread = [one for one in document.refusals if one.place not in quotes]
    known = {(one.place, one.path) for one in misread}
    shown = [refusal(problem, document) for problem in listed]
    return [*misread, *(one for one in shown if (one.place, one.path) not in known)]


def refused(what: str, refusals: Iterable[Refusal]) -> ConfigError:
    """The error that carries every refusal of a file, in the order of its lines."""
    ordered = sorted(refusals, key=lambda r: (r.place.line, r.place.column) if r.place else (0, 0))
    count = len(ordered)
    problems = counted(count, "problem")
    return ConfigError(f"{what} is invalid: {problems}", refusals=tuple(ordered))


def shape_problems(
    error: ValidationError, schema: Schema, at: DocumentPath = ()
) -> Iterator[Problem]:
    """What pydantic refused, below the path `at` of a document with that JSON schema."""
    located = [
        ((*at, *(part for part in detail["loc"] if part not in BRANCHES)), detail)
        for detail in error.errors(include_url=False)
    ]
    misspelt = {
        (*loc[:-1], near)
        for loc, detail in located
        if detail["type"] in UNKNOWN and (near := nearest_word(loc[-1], keys_at(schema, loc[:-1])))
    }
    for loc, detail in located:
        if loc[-1:] == ("[key]",):
            yield Problem(loc[:-1], _message(detail), at_key=True)
        elif detail["type"] in UNKNOWN:
            yield unknown_key(loc, keys_at(schema, loc[:-1]))
        elif detail["type"] != "missing":
            yield Problem(loc, _message(detail), wants_text=_wants_text(detail))
        elif loc not in misspelt:  # else the unknown key tells what to write
            yield Problem(loc, f"missing `{loc[-1]}`")


def _wants_text(detail: Detail) -> bool:
    cause = detail.get("ctx", {}).get("error")
    return detail["type"] == "string_type" or isinstance(cause, NotTextError)


def unknown_key(path: DocumentPath, known: Iterable[str]) -> Problem:
    """The problem of an unknown key, with what may have been meant."""
    keys = frozenset(known)
    instead = nearest(path, keys) or meant(path[-1], keys)
    return Problem(path, f"unknown key `{path[-1]}`; {instead}", at_key=True)


def meant(written: object, known: Iterable[str]) -> str:
    """What to write instead: the nearest of the known words, or one of all; or to remove it."""
    words = sorted(known)
    if near := nearest_word(written, words):
        return f"did you mean `{near}`?"
    if len(words) > TOO_MANY_TO_LIST or not words:
        return "remove it"
    return f"write {words[0]}" if len(words) == 1 else f"write one of {', '.join(words)}"


def nearest_word(written: object, known: Iterable[str]) -> str | None:
    """The known word that is nearest; `None` if none is near."""
    return next(iter(get_close_matches(str(written), sorted(known), n=1)), None)


def keys_at(schema: Schema, path: DocumentPath) -> frozenset[str]:
    """The keys that a JSON schema knows at a path of the document."""
    here = schemas_at(schema, path)
    return frozenset(key for one in here for key in one.get("properties", {}))


def schemas_at(schema: Schema, path: DocumentPath) -> list[Schema]:
    """Every part of a JSON schema that describes a path; `*` means any key or index."""
    here = _flat(schema, [schema])
    for part in path:
        here = _flat(schema, [child for one in here for child in _child(one, part)])
    return here


def _flat(root: Schema, schemas: list[Schema]) -> list[Schema]:
    flat: list[Schema] = []
    for schema in schemas:
        reference = str(schema.get("$ref", "")).removeprefix("#/$defs/")
        target = [root["$defs"][reference]] if reference else []
        inner = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *target]
        flat += [schema, *_flat(root, inner)]
    return flat


def _child(schema: Schema, part: str | int) -> list[Schema]:
    known = (
        [schema["items"]] if "items" in schema and (part == "*" or isinstance(part, int)) else []
    )
    if part in schema.get("properties", {}):
        return [schema["properties"][part]]
    extra = schema.get("additionalProperties")
    return known or ([extra] if isinstance(extra, dict) else [])


def _choice(detail: Detail) -> str:
    expected = str(detail.get("ctx", {}).get("expected", ""))
    words = expected.replace("'", "").replace(" or ", ", ").split(", ")
    written = detail["input"]
    if isinstance(written, str):
        return f"unknown value `{written}`; {meant(written, words)}"
    return f"write {expected}".replace("'", "")


def _bound(text: str) -> Callable[[Detail], str]:
    def message(detail: Detail) -> str:
        return text.format(**detail.get("ctx", {}))

    return message


def _own_words(detail: Detail) -> str:
    return str(detail.get("ctx", {}).get("error", detail["msg"]))


MESSAGES: Mapping[str, Callable[[Detail], str]] = {
    "enum": _choice,
    "literal_error": _choice,
    "value_error": _own_words,
    "model_type": _bound("must be a mapping"),
    "dict_type": _bound("must be a mapping"),
    "list_type": _bound("must be a list"),
    "string_type": _bound("must be text"),
    "bool_type": _bound("write true or false"),
    "int_type": _bound("must be a whole number"),
    "int_from_float": _bound("must be a whole number"),
    "float_type": _bound("must be a number"),
    "finite_number": _bound("must be a number"),
    "greater_than": _bound("must be more than {gt:g}"),
    "greater_than_equal": _bound("must be at least {ge}"),
    "less_than_equal": _bound("must be at most {le:.16g}"),
    "too_short": _bound("must not be empty"),
    "string_too_short": _bound("must not be empty"),
    "string_too_long": _bound("must be at most {max_length} characters long"),
    "string_pattern_mismatch": _bound("contains a character that is not allowed here"),
}


def _message(detail: Detail) -> str:
    return MESSAGES.get(detail["type"], _own_words)(detail)
