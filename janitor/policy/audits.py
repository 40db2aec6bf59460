"""Which rules mean no thread at all: a typo in a protecting rule is how data is lost."""

from __future__ import annotations

from collections.abc import Sequence

from janitor.model import Hold, Thread
from janitor.policy.matching import Match, match_hold, views_of
from janitor.policy.rulebook import Standing, rulebook
from janitor.policy.rules import Policies

MATCHES = frozenset({Standing.SPEAKS, Standing.PROTECTS})


class Coverage:
    """Shown every thread, it knows the policies, `except`s and holds that matched none of them.

    A default policy counts by its own `match`, whatever else speaks. What only unread metadata
    might match has matched nothing yet, and is no typo either (`doubtful`).
    """

    def __init__(self, policies: Policies, holds: Sequence[Hold]) -> None:
        self._rulebook = rulebook(policies)
        self._holds = {f"hold:{hold.name}": hold for hold in holds}
        self._silent = {
            *(f"policy:{policy.name}" for policy in policies.rules),
            *(f"except:{policy.name}" for policy in policies.rules if policy.excepts is not None),
            *self._holds,
        }

    def see(self, thread: Thread) -> None:
        """Take one thread into account."""
        if not self._silent:
            return
        views = views_of(thread)
        for rule in (*self._rulebook.near(views), *self._rulebook.defaults):
            if rule.standing(thread.key, views) in MATCHES:
                self._silent.discard(f"policy:{rule.policy.name}")
            if rule.exception(thread.key, views) is Match.YES:
                self._silent.discard(f"except:{rule.policy.name}")
        for name in self._silent & self._holds.keys():
            if match_hold(self._holds[name], thread, views) is Match.YES:
                self._silent.discard(name)

    @property
    def silent(self) -> tuple[str, ...]:
        """The rules that matched nothing so far, as `policy:NAME`, `except:NAME`, `hold:NAME`."""
        return tuple(sorted(self._silent))

    def doubtful(self, thread: Thread) -> frozenset[str]:
        """The rules that may match a thread of unread metadata, by the same names."""
        views, found = views_of(thread), set[str]()
        for rule in (*self._rulebook.near(views), *self._rulebook.defaults):
            if rule.standing(thread.key, views) is Standing.UNKNOWN:
                found.add(f"policy:{rule.policy.name}")
            if rule.exception(thread.key, views) is Match.UNKNOWN:
                found.add(f"except:{rule.policy.name}")
        held = self._holds.items()
        found |= {n for n, hold in held if match_hold(hold, thread, views) is Match.UNKNOWN}
        return frozenset(found)
