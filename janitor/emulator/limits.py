"""What the API refuses: metadata, fields, page sizes, and a quota per minute."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping

from janitor.emulator.errors import ApiError, Json, invalid


class Quota:
    """Counts requests by the machine's clock, so that tests can measure it, or by a given one.

    `limits` maps a method to its requests per `window` seconds; other methods are free. If the
    quota is not `named`, only the 429 reveals it: no header reports it.
    """

    def __init__(
        self,
        limits: Mapping[str, int] | None = None,
        window: float = 60.0,
        *,
        named: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = dict(limits or {})
        self.window = window
        self._named = named
        self._clock = clock
        self._used: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)

    def take(self, project: str, method: str) -> tuple[dict[str, str], ApiError | None]:
        """The headers of the answer, and the 429 if the quota is used up."""
        limit = self.limits.get(method)
        if limit is None:
            return {}, None
        now, used = self._clock(), self._used[project, method]
        while used and used[0] <= now - self.window:
            used.popleft()
        refused = len(used) >= limit
        wait = used[0] + self.window - now if refused and used else self.window / max(limit, 1)
        if not refused:
            used.append(now)
        headers = self._headers(limit, len(used), wait) if self._named else {}
        return (_told(headers, wait), _refusal(limit)) if refused else (headers, None)

    @staticmethod
    def _headers(limit: int, used: int, wait: float) -> dict[str, str]:
        return {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(limit - used),
            "x-ratelimit-reset-requests": f"{wait:.3f}s",
        }


def _told(headers: dict[str, str], wait: float) -> dict[str, str]:
    return {**headers, "retry-after": str(math.ceil(wait))}


def _refusal(limit: int) -> ApiError:
    message = f"Rate limit reached: {limit} requests per minute."
    return ApiError(429, message, type="requests", code="rate_limit_exceeded")


PAIRS, KEY_LENGTH, VALUE_LENGTH = 16, 64, 512
PAGE_DEFAULT, PAGE_MAX = 20, 100


def metadata(value: object) -> dict[str, str]:
    """The map as it is stored: 16 pairs, keys of 64, values of 512 characters, strings only."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid("Invalid type for 'metadata'.", param="metadata", code="invalid_type")
    if len(value) > PAIRS:
        message = f"Invalid 'metadata': at most {PAIRS} pairs, got {len(value)}."
        raise invalid(message, param="metadata", code="object_above_max_properties")
    for key, text in value.items():
        _pair(key, text)
    return dict(value)


def _pair(key: str, text: object) -> None:
    param = f"metadata.{key[:KEY_LENGTH]}"
    if not isinstance(text, str):
        raise invalid(f"Invalid type for '{param}'.", param=param, code="invalid_type")
    if len(key) > KEY_LENGTH or len(text) > VALUE_LENGTH:
        message = f"Invalid '{param}': keys have {KEY_LENGTH}, values {VALUE_LENGTH} characters."
        raise invalid(message, param=param, code="string_above_max_length")


def known(body: Json, allowed: Collection[str]) -> None:
    """Refuse a field that the call does not have."""
    for name in body:
        if name not in allowed:
            message = f"Unknown parameter: '{name}'."
            raise invalid(message, param=name, code="unknown_parameter")


def required(body: Json, name: str) -> object:
    """The field's value, or the API's refusal."""
    if name not in body:
        message = f"Missing required parameter: '{name}'."
        raise invalid(message, param=name, code="missing_required_parameter")
    return body[name]


def page_size(query: Mapping[str, str], least: int = 1) -> int:
    """How many objects a page may hold: 20 by default, at most 100."""
    text = query.get("limit", str(PAGE_DEFAULT))
    if not text.lstrip("-").isdigit():
        raise invalid("Invalid type for 'limit'.", param="limit", code="invalid_type")
    size = int(text)
    if size > PAGE_MAX:
        message = f"Invalid 'limit': at most {PAGE_MAX}, got {size}."
        raise invalid(message, param="limit", code="integer_above_max_value")
    if size < least:
        message = f"Invalid 'limit': at least {least}, got {size}."
        raise invalid(message, param="limit", code="integer_below_min_value")
    return size


def ascending(query: Mapping[str, str]) -> bool:
    """Whether a page is in ascending order; by default it is newest first."""
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise invalid("Invalid 'order': 'asc' or 'desc'.", param="order", code="invalid_value")
    return order == "asc"
