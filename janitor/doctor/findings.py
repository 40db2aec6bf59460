"""What a check found: a verdict, and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from janitor.errors import JanitorError

SECONDS = 30.0
STORE = 3


class Verdict(StrEnum):
    """Good, worth a look, or something that stops work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `todo` is what to do about it; `code` the exit code that it asks for.

    It never contains conversation text, a secret or a metadata value.
    """

    check: str
    verdict: Verdict
    says: str
    todo: str | None = None
    code: int = 0


def fine(check: str, says: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, says)


def doubtful(check: str, says: str, todo: str) -> Finding:
    """Worth a look, but it stops no work."""
    return Finding(check, Verdict.WARN, says, todo)


def wrong(check: str, says: str, todo: str | None = None, code: int = STORE) -> Finding:
    """Something that stops work."""
    return Finding(check, Verdict.FAIL, says, todo, code)


def attempt(check: str, ask: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings of a check; an error in it becomes a finding after those found before."""
    found: list[Finding] = []
    try:
        found.extend(ask())
    except Exception as error:  # noqa: BLE001 - a check must never keep the others from looking
        found.append(told(check, error))
    return found


async def attempt_later(
    check: str, ask: Awaitable[Iterable[Finding]], seconds: float = SECONDS
) -> list[Finding]:
    """Awaits a check for at most `seconds`; a timeout or an error in it becomes the finding."""
    try:
        async with asyncio.timeout(seconds):
            return list(await ask)
    except TimeoutError:
        return [wrong(check, f"no answer within {seconds:g} s", "find out what delays it")]
    except Exception as error:  # noqa: BLE001 - likewise
        return [told(check, error)]


def told(check: str, error: Exception) -> Finding:
    """An error as a finding; the message of a JanitorError already says what to do."""
    if isinstance(error, JanitorError):
        return wrong(check, str(error), code=error.exit_code)
    name = type(error).__name__
    says = f"the check failed unexpectedly ({name})"
    return wrong(check, says, "please report it", code=1)


def exit_code(findings: Iterable[Finding]) -> int:
    """The highest code that any finding asks for; a doubtful one asks for none."""
    return max((finding.code for finding in findings), default=0)
