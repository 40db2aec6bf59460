"""What an operator may ask of a running service over HTTP: to pause and to resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.routing import Route

from janitor.config.durations import parse_duration
from janitor.registry import Pause
from janitor.service.asking import Answer, Asked, AskedWrongError, know, operation
from janitor.service.http import Scope

LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Operations:
    """What an operator may do to the registry, and the names that the configuration knows."""

    pause: Callable[[Pause], None]
    resume: Callable[[str], bool]
    projects: Callable[[], frozenset[str]]
    policies: Callable[[], frozenset[str]]
    now: Callable[[], datetime]

    def routes(self) -> list[Route]:
        """What a token of the scope `operate` opens."""
        return [
            operation("/api/pause", Scope.OPERATE, self._pause),
            operation("/api/resume", Scope.OPERATE, self._resume),
        ]

    def _pause(self, asked: Asked) -> Answer:
        said, token = asked.said, asked.token
        know(said, "project", "policy", "for", "reason")
        at, span = self.now(), _text(said, "for")
        reason = _text(said, "reason")
        if reason is None:
            raise AskedWrongError("say a reason: everybody who looks is told")
        pause = Pause(self._scope(said), reason, token.name, at, _until(at, span))
        self.pause(pause)
        until = pause.until.isoformat() if pause.until else None
        return {"scope": pause.scope, "reason": reason, "actor": pause.actor, "until": until}

    def _resume(self, asked: Asked) -> Answer:
        said = asked.said
        know(said, "project", "policy")
        scope = self._scope(said, known=False)
        if not self.resume(scope):
            raise AskedWrongError(f"nothing is paused as {scope}", 404)
        return {"scope": scope, "actor": asked.token.name}

    def _scope(self, said: Mapping[str, Any], *, known: bool = True) -> str:
        project, policy = _text(said, "project"), _text(said, "policy")
        if project and policy:
            raise AskedWrongError("name a project or a policy, not both")
        for word, name, names in (
            ("project", project, self.projects()),
            ("policy", policy, self.policies()),
        ):
            if name is None:
                continue
            if known and name not in names:
                raise AskedWrongError(f"there is no {word} of this name", 404)
            return f"{word}:{name}"
        return "all"


def _text(said: Mapping[str, Any], name: str) -> str | None:
    """A value as text, `None` where it is absent or null."""
    value = said.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_REASON:
        raise AskedWrongError(f"{name} is to be a text of 1 to {LONGEST_REASON} characters")
    return value


def _until(at: datetime, span: str | None) -> datetime | None:
    if span is None:
        return None
    try:
        return at + parse_duration(span)
    except (ValueError, OverflowError) as error:
        raise AskedWrongError("for is to be a duration, for example 12h or 30m") from error
