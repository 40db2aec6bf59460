"""A reviewed plan: read back to the letter, and refused where it is not for here and now."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from janitor.errors import ConfigError
from janitor.model import Key, Kind, Mode, Stage
from janitor.policy import Policies, policies_digest
from janitor.registry import Registry, RunRecord, RunResult
from janitor.sweep.breaker import Stop
from janitor.sweep.plan import Plan, Planned

APPLY = "apply"
SHOWN = 12
MAKE_ANEW = "make a new one: janitor plan -o plan.json"


@dataclass(frozen=True, slots=True)
class Here:
    """Where and when a plan is to be carried out."""

    registry: Registry
    policies: Policies
    now: datetime


def load(text: bytes, name: str) -> Plan:
    """Read a plan's document back.

    Raises:
        ConfigError: It is no plan, it is not signed, or its digest is not that of its content.
    """
    try:
        document = orjson.loads(text)
        made, digest = _read(document), document.get("digest")
        is_intact = made.digest == digest
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{name}: not a plan ({type(error).__name__}); {MAKE_ANEW}") from error
    if not made.signature:
        raise ConfigError(f"{name}: not signed, as an older janitor wrote plans; {MAKE_ANEW}")
    if not is_intact:
        raise ConfigError(f"{name}: changed since it was made, its digest differs; {MAKE_ANEW}")
    return made


def check(here: Here, made: Plan, name: str, max_age: timedelta) -> None:
    """Refuse a plan that this registry did not make, or made for something else or too long ago.

    Its age counts when it is first begun.

    Raises:
        ConfigError: Another registry, another's signature, other policies, made with `--at`, too
            old, or audit mode.
    """
    if here.policies.mode is Mode.AUDIT:
        raise ConfigError("mode is audit: nothing is applied; set `mode: enforce` to act")
    if made.registry != here.registry.id:
        raise ConfigError(f"{name}: made for another registry ({made.registry}); {MAKE_ANEW}")
    signature = here.registry.signature(made.digest, made.now)
    if not hmac.compare_digest(signature.encode(), made.signature.encode()):
        raise ConfigError(f"{name}: not as this registry signed it, so it was edited; {MAKE_ANEW}")
    if made.policies_digest != policies_digest(here.policies):
        raise ConfigError(f"{name}: made under other policies; {MAKE_ANEW}")
    if made.hypothetical:
        raise ConfigError(f"{name}: made with --at, which is only for looking; {MAKE_ANEW}")
    if here.now - made.now > max_age and not here.registry.has_run(command_of(made.digest)):
        raise ConfigError(f"{name}: made at {made.now:%Y-%m-%d %H:%M} UTC, too old; {MAKE_ANEW}")


def refuse(here: Here, digest: str, message: str) -> RunRecord:
    """Record that a plan which was handed over is no longer valid; it waits no longer."""
    registry, now = here.registry, here.now
    # Under another name: a plan that was refused was never begun.
    command, policies = f"{command_of(digest)} refused", policies_digest(here.policies)
    run = registry.open_run(command, here.policies.mode, policies, now)
    registry.note_stop(run.id, Stop("", "refused", message, ConfigError.exit_code).note())
    closed = registry.close_run(run.id, RunResult.FAILED, now)
    registry.end_handover(digest, run.id, now)
    return closed


def command_of(digest: str) -> str:
    """How the runs of a plan of that digest are called."""
    return f"{APPLY} {digest[:SHOWN]}"


def compact(made: Plan) -> str:
    """The plan as a document of what `apply` rests on, and nothing else; `load` reads it."""
    document = made.document()
    names = (
        "digest",
        "signature",
        "now",
        "hypothetical",
        "mode",
        "registry",
        "policies_digest",
        "approval",
    )
    decisions = [row for row in document["decisions"] if row["stages"]]
    return orjson.dumps(
        {name: document[name] for name in names} | {"decisions": decisions}
    ).decode()


def _read(document: Mapping[str, Any]) -> Plan:
    """What a document says, true or not; ValueError, KeyError or TypeError where it is no plan."""
    return Plan(
        document["registry"],
        document["policies_digest"],
        document["mode"],
        datetime.fromisoformat(document["now"]),
        document["hypothetical"],
        [_planned(row) for row in document["decisions"]],
        pending=document["approval"]["pending"],
        signature=_text(document.get("signature")) or "",
    )


def _planned(row: Mapping[str, object]) -> Planned:
    """One decision of a plan's document, or ValueError, KeyError, TypeError."""
    return Planned(
        Key(str(row["project"]), Kind(str(row["kind"])), str(row["id"])),
        tuple(Stage(str(stage)) for stage in _list(row["stages"])),
        _text(row["policy"]),
        _time(row["due_at"]),
        _time(row["age_base"]),
        _text(row["reason"]),
        _time(row["last_active_at"]),
        _text(row["newest_item"]),
        bool(row["probed"]),
        tuple(Stage(str(stage)) for stage in _list(row.get("swept", []))),
    )


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _time(value: object) -> datetime | None:
    return None if value is None else datetime.fromisoformat(str(value))
