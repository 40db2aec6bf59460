"""What an operator's token opens: pause and resume, over real sockets on a real registry."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from operated import NOW, Operated

BAD = {
    "not JSON": (b"{", 400),
    "not UTF-8": (b'{"reason": "\xff"}', 400),
    "half a surrogate": (b'{"reason": "\\ud800"}', 400),
    "deep": (b"[" * 30_000, 400),
    "a list": (b"[]", 400),
    "a key twice": (b'{"reason": "a", "reason": "b"}', 400),
    "nothing": (b"", 422),
    "no reason": (b'{"for": "1h"}', 422),
    "an empty reason": (b'{"reason": " "}', 422),
    "a long reason": (json.dumps({"reason": "x" * 501}).encode(), 422),
    "a number": (b'{"reason": 3}', 422),
    "a bare number": (b'{"reason": "r", "for": "30"}', 422),
    "no duration": (b'{"reason": "r", "for": 30}', 422),
    "beyond all times": (b'{"reason": "r", "for": "999999y"}', 422),
    "both": (b'{"reason": "r", "project": "main", "policy": "chats"}', 422),
    "unknown word": (b'{"reason": "r", "polcy": "chats"}', 422),
    "unknown policy": (b'{"reason": "r", "policy": "nobody"}', 404),
    "unknown project": (b'{"reason": "r", "project": "nobody"}', 404),
    "large": (b'{"reason": "' + b"x" * 70_000 + b'"}', 413),
}


def test_a_pause_bears_the_tokens_name_and_is_ended(operated: Operated) -> None:
    status, said = operated.ask("/api/pause", b'{"reason": "incident 42", "for": "12h"}')
    until = NOW + timedelta(hours=12)
    assert (status, said) == (
        200,
        {
            "schema": 1,
            "scope": "all",
            "reason": "incident 42",
            "actor": "operate",
            "until": until.isoformat(),
        },
    )
    assert operated.paused() == [("all", "incident 42", "operate", until)]
    assert operated.ask("/api/resume", b"{}")[0] == 200
    assert operated.paused() == []
    assert operated.ask("/api/resume", b"{}")[0] == 404


@pytest.mark.parametrize(("word", "name"), [("project", "main"), ("policy", "chats")])
def test_one_project_or_policy_is_paused(operated: Operated, word: str, name: str) -> None:
    body = json.dumps({word: name, "reason": "r", "for": None}).encode()
    assert operated.ask("/api/pause", body)[0] == 200
    assert operated.paused() == [(f"{word}:{name}", "r", "operate", None)]
    assert operated.ask("/api/resume", json.dumps({word: name}).encode())[0] == 200
    assert operated.paused() == []


@pytest.mark.parametrize("path", ["/api/pause", "/api/resume"])
def test_another_scope_is_forbidden_and_no_token_is_refused(operated: Operated, path: str) -> None:
    assert operated.ask(path, b'{"reason": "r"}', bearer=None)[0] == 401
    assert operated.ask(path, b'{"reason": "r"}', bearer="wrong")[0] == 401
    status, said = operated.ask(path, b'{"reason": "r"}', bearer="r")
    assert (status, said["error"]) == (403, "this needs a token of the scope operate")
    assert operated.paused() == []


@pytest.mark.parametrize("name", BAD)
def test_what_is_asked_wrongly_is_told_and_changes_nothing(operated: Operated, name: str) -> None:
    body, status = BAD[name]
    answered, said = operated.ask("/api/pause", body)
    assert answered == status
    assert said["error"] if status != 413 else said
    assert operated.paused() == []


def test_a_registry_that_is_gone_is_no_fault_of_the_asker(operated: Operated) -> None:
    operated.registry.close()
    path = operated.registry.name
    Path(path).unlink()
    Path(path).mkdir()
    assert operated.ask("/api/pause", b'{"reason": "r"}')[0] == 503
