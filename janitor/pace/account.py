"""What is kept of a project's pace: a bucket and a claim for each verb, and their pause."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from janitor.pace.level import Level
from janitor.pace.pausing import Pause
from janitor.pace.rates import Verb

LONGEST_CLAIM = 600.0


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody of this urgency wants the next token: who is less urgent leaves it until then."""

    urgency: int
    until: float

    def precedes(self, urgency: int, now: float) -> bool:
        """Whether somebody of this urgency has to wait; one from a clock since set back is void."""
        return self.urgency < urgency and 0 < self.until - now < LONGEST_CLAIM


@dataclass(frozen=True, slots=True)
class Account:
    """Frozen; times are seconds since the epoch by the ledger's clock."""

    levels: Mapping[Verb, Level] = field(default_factory=dict)
    claims: Mapping[Verb, Claim] = field(default_factory=dict)
    pause: Pause = field(default_factory=Pause)

    def level(self, verb: Verb) -> Level:
        """Where a bucket stands; full where nothing was taken from it yet."""
        return self.levels.get(verb, Level())

    def with_level(self, verb: Verb, level: Level) -> Account:
        """The account with a bucket changed."""
        return replace(self, levels={**self.levels, verb: level})

    def with_claim(self, verb: Verb, claim: Claim | None) -> Account:
        """The account with a claim on the next token, or with none."""
        others = {one: known for one, known in self.claims.items() if one is not verb}
        return replace(self, claims=others if claim is None else {**others, verb: claim})

    def with_pause(self, pause: Pause) -> Account:
        """The account with another pause."""
        return replace(self, pause=pause)

    @property
    def found(self) -> tuple[object, ...]:
        """What a process that is killed must not take with it; it changes seldom."""
        rates = [(verb, level.rate, level.found, level.cap) for verb, level in self.levels.items()]
        return (*sorted(rates, key=lambda one: one[0]), self.pause.stopped_until)


def written(account: Account) -> str:
    """An account as text."""
    return json.dumps(asdict(account), separators=(",", ":"))


def read(text: str | None) -> Account:
    """The account that a text tells; a fresh one where it tells none that is understood."""
    try:
        said = json.loads(text or "{}")
        return Account(
            {Verb(verb): Level(**level) for verb, level in said.get("levels", {}).items()},
            {Verb(verb): Claim(**claim) for verb, claim in said.get("claims", {}).items()},
            Pause(**said.get("pause", {})),
        )
    except (AttributeError, TypeError, ValueError):
        return Account()
