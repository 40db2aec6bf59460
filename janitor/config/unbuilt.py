"""What is documented but not built yet. Building one of these removes its line here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from janitor.config.yaml_source import DocumentPath

UNBUILT: tuple[str, ...] = (
    "archive.encrypt_to",
    "policies.*.trim",
)

UNBUILT_SCHEMES: Mapping[str, tuple[str, ...]] = {
    "archive.url": ("s3", "gs", "az"),
}


def unbuilt_scheme(path: str, url: str) -> str | None:
    """The scheme of an address if it is documented for that path but not built yet; else `None`."""
    scheme = url.partition("://")[0]
    return scheme if scheme in UNBUILT_SCHEMES.get(path, ()) else None


def unbuilt_paths(value: object) -> Iterator[DocumentPath]:
    """Where a file uses what is not built yet."""
    for pattern in UNBUILT:
        yield from _matching(value, tuple(pattern.split(".")), ())


def without(value: object, paths: frozenset[DocumentPath], at: DocumentPath = ()) -> object:
    """A copy of a document without the given paths."""
    match value:
        case dict():
            return {
                key: without(child, paths, (*at, key))
                for key, child in value.items()
                if (*at, key) not in paths
            }
        case list():
            return [without(child, paths, (*at, i)) for i, child in enumerate(value)]
        case _:
            return value


def _matching(value: object, pattern: tuple[str, ...], at: DocumentPath) -> Iterator[DocumentPath]:
    if not pattern:
        yield at
        return
    for key, child in _children(value):
        if pattern[0] in {"*", key}:
            yield from _matching(child, pattern[1:], (*at, key))


def _children(value: object) -> list[tuple[str | int, object]]:
    match value:
        case dict():
            return list(value.items())
        case list():
            return list(enumerate(value))
        case _:
            return []
