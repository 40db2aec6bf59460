"""Reads YAML strictly: of bounded size, plain values only, with the place of each.

PyYAML keeps the last of two equal keys, reads `no` as false, `012` as 10 and `1:30` as 90. These
are refused, with what to write instead. A few hundred bytes of aliases can expand to gigabytes:
the parser's events show that size before anything is composed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import yaml

from janitor.causes import cause
from janitor.config.fields import CREDENTIAL_NAME
from janitor.config.regular_file import read_regular
from janitor.errors import ConfigError, Place, Refusal

MAX_BYTES = 1024 * 1024
MAX_NODES = 50_000
MAX_DEPTH = 64
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"


@dataclass(slots=True)
class _Open:
    """A collection that has not ended yet; `nodes` counts it and what it holds so far."""

    anchor: str | None
    height: int = 1
    nodes: int = 1


class _Bound:
    """Counts nodes and depth with aliases expanded, and stops at the first that is too much."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._open: list[_Open] = [_Open(None, height=0, nodes=0)]
        self._anchored: dict[str, tuple[int, int]] = {}

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.CollectionStartEvent():
                self._open.append(_Open(event.anchor))
            case yaml.CollectionEndEvent():
                done = self._open.pop()
                self._remember(done.anchor, done.nodes, done.height)
                self._add(event, done.nodes, done.height)
            case yaml.ScalarEvent():
                self._remember(event.anchor, 1, 0)
                self._add(event, 1, 0)
            case yaml.AliasEvent():
                if any(one.anchor == event.anchor for one in self._open):
                    raise self._refused(event, f"`*{event.anchor}` contains itself")
                self._add(event, *self._anchored.get(str(event.anchor), (1, 0)))
            case _:
                return
        self._check_depth(event)

    def _remember(self, anchor: str | None, nodes: int, height: int) -> None:
        if anchor is not None:
            self._anchored[anchor] = (nodes, height)

    def _add(self, event: yaml.Event, nodes: int, height: int) -> None:
        around = self._open[-1]
        around.nodes += nodes
        around.height = max(around.height, height + 1)
        if sum(one.nodes for one in self._open) > MAX_NODES:
            message = f"the file has more than {MAX_NODES:,} nodes, counting expanded aliases"
            raise self._refused(event, f"{message}; shorten it or split it")

    def _check_depth(self, event: yaml.Event) -> None:
        if len(self._open) + self._open[-1].height > MAX_DEPTH:
            raise self._refused(event, TOO_DEEP)

    def _refused(self, event: yaml.Event, message: str) -> ConfigError:
        mark = event.start_mark
        place = Place(self._file, mark.line + 1, mark.column + 1) if mark else None
        return ConfigError(f"{self._file} is invalid", refusals=(Refusal(message, place),))


def bounded(text: str, file: str) -> None:
    """Check that a text stays within the bounds.

    Raises ConfigError for more than 50,000 nodes with aliases expanded, a nesting deeper than 64
    or an alias inside of itself, and yaml.YAMLError if it is not YAML.
    """
    bound = _Bound(file)
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        bound.take(event)


DocumentPath = tuple[str | int, ...]

TEXT_TAG = "tag:yaml.org,2002:str"
TIME_TAG = "tag:yaml.org,2002:timestamp"
PLAIN_COLLECTIONS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
SAFE_SCALAR = re.compile(r"true|false|null|~||-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Document:
    """A file's values and their places.

    `texts` holds what was written for every plain scalar that YAML does not read as text, except
    for possible secrets. `refusals` are problems that YAML itself would accept.
    """

    file: str
    value: Any
    values: dict[DocumentPath, Place] = field(default_factory=dict)
    keys: dict[DocumentPath, Place] = field(default_factory=dict)
    texts: dict[DocumentPath, str] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()

    def place(self, path: DocumentPath, *, at_key: bool = False) -> Place | None:
        """Where a path is in the file, or else the nearest thing around it that is there."""
        if at_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path)


def spell(path: DocumentPath) -> str:
    """A path as people write it: `policies[0].match.kind`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read_document(path: Path) -> Document:
    """Read a YAML file.

    Raises ConfigError if it cannot be read at all: missing, a directory, too large, not UTF-8, or
    not YAML. What can be read but must not be trusted is in `refusals`.
    """
    return parse_document(_bytes(path), str(path))


def parse_document(content: bytes, file: str) -> Document:
    """Parse a file's bytes, as `read_document` does."""
    text = _decoded(content, file)
    try:
        bounded(text, file)
        return _Composer(file).document(text)
    except yaml.MarkedYAMLError as error:
        raise _refused(_sentence(error, text), _mark_place(file, error.problem_mark)) from None
    except yaml.YAMLError as error:
        raise _refused(_unreadable(error), Place(file, 1, 1)) from None


class _Mark(Protocol):
    line: int
    column: int


class _Loader(yaml.CSafeLoader):
    """The safe loader, used for single nodes."""

    def merged(self, node: yaml.MappingNode) -> None:
        """Replace `<<` with the entries that it merges in; a second call does nothing."""
        self.flatten_mapping(node)

    def scalar(self, node: yaml.ScalarNode) -> object:
        """The value of one scalar."""
        return self.construct_object(node)


class _Composer:
    """Turns nodes into values and records their positions and any problems."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found = Document(file, None)
        self._refusals: list[Refusal] = []
        self._seen: set[int] = set()

    def document(self, text: str) -> Document:
        self._loader = _Loader(text)
        node = self._loader.get_single_node()
        if node is None:
            raise _refused("the file is empty", Place(self._file, 1, 1))
        value = self._value(node, ())
        found = self._found
        return Document(
            self._file, value, found.values, found.keys, found.texts, tuple(self._refusals)
        )

    def _value(self, node: yaml.Node, path: DocumentPath) -> object:
        self._found.values[path] = self._at(node)
        if isinstance(node, yaml.CollectionNode) and node.tag not in PLAIN_COLLECTIONS:
            self._refuse(node, path, "YAML tags are not allowed here; remove it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*path, i)) for i, child in enumerate(node.value)]
        return self._scalar(cast("yaml.ScalarNode", node), path)

    def _mapping(self, node: yaml.MappingNode, path: DocumentPath) -> dict[str, object]:
        if id(node) not in self._seen:
            self._seen.add(id(node))
            self._refuse_duplicates(node, path)
            self._loader.merged(node)
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            self._found.keys[(*path, key)] = self._at(key_node)
            result[key] = self._value(value_node, (*path, key))
        return result

    def _refuse_duplicates(self, node: yaml.MappingNode, path: DocumentPath) -> None:
        first: dict[str, Place] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, path, "a key must be text")
                continue
            key = str(key_node.value)
            if key in first:
                message = f"duplicate key `{key}`, first on line {first[key].line}"
                self._refuse(key_node, (*path, key), f"{message}; keep one of the two")
            elif key_node.tag not in {TEXT_TAG, "tag:yaml.org,2002:merge"}:
                self._refuse(key_node, (*path, key), f'a key must be text: write "{key}"')
            first.setdefault(key, self._at(key_node))

    def _scalar(self, node: yaml.ScalarNode, path: DocumentPath) -> object:
        text = str(node.value)
        if node.tag == TEXT_TAG:
            return text
        if _is_secrets(path):
            return None  # its shape is refused; no refusal quotes what is written here
        if _may_be_secret(path):
            return text  # likewise
        self._found.texts[path] = text
        try:
            value = self._loader.scalar(node)
        except (ValueError, LookupError, OverflowError):
            self._refuse(node, path, f"invalid value: write {_quoted(text)} for text")
            return text
        if node.tag != TIME_TAG and not SAFE_SCALAR.fullmatch(text):
            self._refuse(node, path, _misread(text))
        return value

    def _refuse(self, node: yaml.Node, path: DocumentPath, message: str) -> None:
        self._refusals.append(Refusal(message, self._at(node), spell(path)))

    def _at(self, node: yaml.Node) -> Place:
        return _mark_place(self._file, node.start_mark)


def _is_secrets(path: DocumentPath) -> bool:
    """Whether a scalar here can only be a secret, put here by mistake."""
    if path[-1:] == ("api_key",):
        return True
    token = path[3:]
    return path[:2] == ("service", "tokens") and (not token or isinstance(token[-1], int))


def _may_be_secret(path: DocumentPath) -> bool:
    """Whether text here may be a secret, put here by mistake."""
    is_registrys = path in {("registry", "password"), ("registry", "hash_key")}
    is_address = path[-1:] in {("url",), ("base_url",), ("endpoint",)}
    is_pair = path[2:3] in {("headers",), ("query",)} and CREDENTIAL_NAME.search(str(path[-1]))
    return is_registrys or is_address or bool(is_pair)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _misread(text: str) -> str:
    plain = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false"}
    other = plain.get(text.lower(), "null" if text.lower() == "null" else "a plain number")
    return f"{text} is ambiguous in YAML: write {_quoted(text)} for text, or {other}"


def _bytes(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_BYTES + 1)
    except IsADirectoryError:
        raise _refused("this is a directory, not a file", Place(str(path), 1, 1)) from None
    except FileNotFoundError:
        message = (
            f"{path} does not exist; pass another with --config, or create one with `janitor init`"
        )
        raise ConfigError(message) from None
    except OSError as error:
        reason = cause(error, "give this user read access to it")
        raise ConfigError(f"{path} cannot be read: {reason}") from None


def _decoded(content: bytes, file: str) -> str:
    if len(content) > MAX_BYTES:
        raise _refused("the file is larger than 1 MiB; split it", Place(file, 1, 1))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].split(b"\n")
        place = Place(file, len(before), len(before[-1].decode("utf-8", "replace")) + 1)
        raise _refused("the file is not UTF-8 text; save it as UTF-8", place) from None


TAB = "a tab cannot indent YAML; use spaces"
LAYOUT = "check indentation, brackets and quotes here and in the lines before"


def _sentence(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = error.problem or "it cannot be parsed"
    mark = error.problem_mark
    if mark is not None and "cannot start any token" in problem:
        line = text.splitlines()[mark.line] if mark.line < len(text.splitlines()) else ""
        if line[mark.column : mark.column + 1] == "\t":
            return TAB
    if "but found another document" in problem:
        return "a second document starts here; write one document per file"
    if "nesting depth" in problem:  # the parser has a limit of its own, far above ours
        return TOO_DEEP
    if "violates indentation" in problem:
        return TAB
    if problem.startswith(("did not find expected", "mapping values are not allowed")):
        return f"invalid YAML: {problem}; {LAYOUT}"
    return f"invalid YAML: {problem}"


def _unreadable(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return "the file contains control characters; save it as plain UTF-8 text"
    return "this is not YAML"


def _mark_place(file: str, mark: _Mark | None) -> Place:
    return Place(file, 1, 1) if mark is None else Place(file, mark.line + 1, mark.column + 1)


def _refused(message: str, place: Place) -> ConfigError:
    return ConfigError(f"{place.file} is invalid", refusals=(Refusal(message, place),))
