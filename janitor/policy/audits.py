"""Which rules mean no thread at all: a typo in a protecting rule is how data is lost."""

from __future__ import annotations

from collections.abc import Sequence

from janitor.model import Hold, Thread
from janitor.policy.matching import Match, match_hold, views_of
from janitor.policy.rulebook import Standing, rulebook
from janitor.policy.rules import Policies


class Coverage:
    """Shown every thread, it knows the policies, `except`s and holds that matched none of them.

    A default policy counts by its own `match`, whatever else speaks. What only unread metadata
    might match has matched nothing yet.
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
            standing = rule.standing(thread.key, views)
            if standing in (Standing.SPEAKS, Standing.PROTECTS):
                self._silent.discard(f"policy:{rule.policy.name}")
            if rule.is_excepted(thread.key, views):
                self._silent.discard(f"except:{rule.policy.name}")
        for name in self._silent & self._holds.keys():
            if match_hold(self._holds[name], thread, views) is Match.YES:
                self._silent.discard(name)

    @property
    def silent(self) -> tuple[str, ...]:
        """The rules that matched nothing so far, as `policy:NAME`, `except:NAME`, `hold:NAME`."""
        return tuple(sorted(self._silent))
