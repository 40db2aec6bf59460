"""Reading a container's metadata and merging changes into it; pure."""

from __future__ import annotations

from collections.abc import Mapping

from janitor.catalogue import METADATA_KEY_LENGTH, METADATA_PAIRS, METADATA_VALUE_LENGTH
from janitor.drivers.answers import Body
from janitor.errors import RefusedError
from janitor.texts import misfit


class NoFreeKeyError(RefusedError):
    """No key is free among those that the API takes; nothing was written."""


def read_metadata(body: Body, subject: str) -> dict[str, str]:
    """The metadata; `null` is read and empty, an absent field is unknown and refused.

    What the registry could not store is refused as it is in a row of the application's.
    """
    value = body.get("metadata", ...)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise RefusedError(f"{subject}: metadata is not a map of strings; kept")
    if why := misfit(value):
        raise RefusedError(f"{subject}: {why}; kept")
    return value


def merged(
    current: Mapping[str, str], changes: Mapping[str, str | None], subject: str
) -> dict[str, str]:
    """`current` with `changes` made; `None` removes a key and no other key is touched.

    Raises `RefusedError` where the result is more than the API takes.
    """
    kept = {key: value for key, value in current.items() if changes.get(key, value) is not None}
    written = {key: value for key, value in changes.items() if value is not None}
    if any(
        len(key) > METADATA_KEY_LENGTH or len(value) > METADATA_VALUE_LENGTH
        for key, value in written.items()
    ):
        raise RefusedError(
            f"{subject}: a metadata key over {METADATA_KEY_LENGTH} or a value over "
            f"{METADATA_VALUE_LENGTH} characters is more than the API takes; nothing written"
        )
    result = kept | written
    if len(result) > METADATA_PAIRS:
        raise NoFreeKeyError(
            f"{subject}: no free key among {METADATA_PAIRS} for metadata; nothing written"
        )
    return result
