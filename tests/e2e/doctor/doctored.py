"""Asks the doctor of a world, and finds what it said of one thing."""

from __future__ import annotations

from typing import Any

from world import World

Found = dict[str, list[tuple[str, str, str]]]


def doctor(world: World, *options: str, code: int = 0) -> Found:
    """What was found, by check: the verdict, what it says and what to do."""
    done = world.run("--output", "json", "doctor", *options)
    assert done.code == code, done.out + done.err
    assert "Traceback" not in done.err
    found: Found = {}
    one: dict[str, Any]
    for one in done.document["findings"]:
        said = (one["verdict"], one["says"], one["todo"] or "")
        found.setdefault(one["check"], []).append(said)
    return found


def only(found: Found, check: str, verdict: str) -> tuple[str, str]:
    """The one finding of a check with this verdict: what it says, and what to do."""
    (said,) = [one for one in found[check] if one[0] == verdict]
    return said[1], said[2]


def verdicts(found: Found, check: str) -> list[str]:
    return [one[0] for one in found[check]]


def edit(world: World, before: str, after: str) -> None:
    """Change the configuration file."""
    text = world.config.read_text(encoding="utf-8")
    assert before in text
    world.config.write_text(text.replace(before, after), encoding="utf-8")
