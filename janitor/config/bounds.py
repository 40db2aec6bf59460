"""How large a document may be, counted before anything is composed.

A few hundred bytes of aliases can expand to gigabytes; the parser's events tell the size that
they would expand to at no more cost than reading the text once.
"""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from janitor.errors import ConfigError, Place, Refusal

MAX_BYTES = 1024 * 1024
MAX_NODES = 50_000
MAX_DEPTH = 64


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come; `nodes` counts it and what it holds so far."""

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
                    raise self._refused(event, f"`*{event.anchor}` stands inside of itself")
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
            message = f"the file holds more than {MAX_NODES:,} nodes, counted with aliases expanded"
            raise self._refused(event, f"{message}; write fewer or split it")

    def _check_depth(self, event: yaml.Event) -> None:
        if len(self._open) + self._open[-1].height > MAX_DEPTH:
            raise self._refused(event, f"this is nested more than {MAX_DEPTH} deep")

    def _refused(self, event: yaml.Event, message: str) -> ConfigError:
        mark = event.start_mark
        place = Place(self._file, mark.line + 1, mark.column + 1) if mark else None
        return ConfigError(f"{self._file} is refused", refusals=(Refusal(message, place),))


def bounded(text: str, file: str) -> None:
    """Return if a text stays within the bounds.

    Raises ConfigError for more than 50,000 nodes with aliases expanded, a nesting deeper than 64
    or an alias inside of itself, and yaml.YAMLError where it is no YAML.
    """
    bound = _Bound(file)
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        bound.take(event)
