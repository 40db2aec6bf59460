"""The canonical digest: equal for two exports with the same content, however it is written.

It is a sha256 over one line each for the container, every item and every other record: a mark, the
record's id and its JSON with sorted keys. Items count in full. The container and the other records
count without the fields that the catalogue calls volatile, and without the marks that janitor
itself wrote into their metadata. The others (runs) are included because the archive promises them
too: a run that appeared since is content that a deletion would lose. The project is left out, so
that an export can be compared without knowing where it was archived.

Numbers are compared as doubles, integers exactly.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any

import orjson

from janitor.archive.local import closed_at_end
from janitor.errors import RefusedError
from janitor.kinds import CATALOGUE
from janitor.model import Kind, Record
from janitor.policy.matching import RESERVED

# orjson reads integers beyond 64 bits as doubles. Anything that merely looks like one is read
# correctly, only slower. Ids are full of digits: folding all digits to 0 and looking for a long run
# first costs a fifth of searching every record.
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG = b"0" * 19
_LONG_NUMBER = re.compile(rb"[:,\[\n\r\t ]-?[0-9]{19}")


class Fingerprint:
    """Digest, number of items and newest item of an export, taken record by record.

    `volatile` are the fields of the container and of non-items that do not count. `see` gets each
    record's line: records with the same content have the same line.
    """

    def __init__(
        self, volatile: Collection[str], see: Callable[[bytes], object] | None = None
    ) -> None:
        self.volatile = frozenset(volatile)
        self.count = 0
        self.newest_item: str | None = None
        self.container: str | None = None
        self._see = see
        self._others = False
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The canonical digest of all that was added so far, in hex."""
        return self._hash.hexdigest()

    def add(self, record: Record) -> Mapping[str, Any]:
        """Add the next record and return its parsed body.

        Raises `RefusedError` if the record is not a JSON object, or the order is not container,
        items, others.
        """
        try:
            body = parse(record.body)
        except ValueError as error:
            raise self._refused(record, "is not JSON") from error
        return self.take(record, body)

    def take(self, record: Record, body: object) -> Mapping[str, Any]:
        """Like `add`, for a record whose body is already parsed."""
        if not isinstance(body, dict):
            raise self._refused(record, "is not an object")
        mark = self._next_mark(record)
        try:
            content = canonical(body if record.is_item else self._steady(body))
            line = b"%b %b %b\n" % (mark, canonical(record.id), content)
        except ValueError as error:
            raise self._refused(record, "is nested too deeply") from error
        self._hash.update(line)
        if self._see is not None:
            self._see(line)
        return body

    def _next_mark(self, record: Record) -> bytes:
        if self.container is None:
            if record.is_item:
                raise self._refused(record, "comes before its container")
            self.container = record.id
            return b"container"
        if not record.is_item:
            self._others = True
            return b"other"
        if self._others:
            raise self._refused(record, "comes after what follows the last item")
        self.count += 1
        self.newest_item = record.id
        return b"item"

    def _refused(self, record: Record, what: str) -> RefusedError:
        thread = self.container or "unknown container"
        return RefusedError(f"{thread}: its export is invalid: record {record.id!r} {what}")

    def _steady(self, body: Mapping[str, Any]) -> dict[str, Any]:
        steady = {field: value for field, value in body.items() if field not in self.volatile}
        metadata = steady.get("metadata")
        if isinstance(metadata, dict):
            steady["metadata"] = {
                key: value for key, value in metadata.items() if not key.startswith(RESERVED)
            }
        return steady


async def fingerprint(kind: Kind, records: AsyncIterator[Record]) -> Fingerprint:
    """The fingerprint of an export, without writing it anywhere.

    Raises what the export raises, and `RefusedError` if it is empty or cannot be believed.
    """
    export = Fingerprint(CATALOGUE[kind].volatile)
    async with closed_at_end(records):
        async for record in records:
            export.add(record)
    if export.container is None:
        raise RefusedError("the export is empty: even the container is missing")
    return export


def parse(body: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Parse JSON, including lone surrogates and long integers. Raises `ValueError`."""
    if _LONG not in body.translate(_DIGITS) or _LONG_NUMBER.search(body) is None:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # the standard library accepts lone surrogates, which models do emit
    try:
        return json.loads(body, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that JSON does not have")
    return number


def canonical(value: Any) -> bytes:  # noqa: ANN401 - JSON is anything
    """The one spelling of a JSON value: sorted keys, no line breaks. Raises `ValueError`."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        pass  # the same exceptions as when reading
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
