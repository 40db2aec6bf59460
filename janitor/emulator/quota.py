"""A quota of requests per minute, by project and method, in a sliding window."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping

from janitor.emulator.errors import ApiError


class Quota:
    """Counts against the machine's clock unless another is given, so that it can be measured.

    `limits` maps a method to its requests per `window` seconds; other methods are free. A quota
    that is not `named` is known by its 429 alone: no header tells of it.
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
        """The headers of the answer, and the 429 where the quota is used up."""
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
