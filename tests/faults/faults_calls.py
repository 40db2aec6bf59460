"""The calls that a sweep makes about one thread, and where in a sweep each one stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from faults_known import fault

from janitor.emulator import Fault
from janitor.kinds import CATALOGUE
from janitor.model import Kind

EVERY = frozenset(Kind)
EMPTIED = frozenset({Kind.CONVERSATION})
WITH_RUNS = frozenset({Kind.THREAD})
WITH_PARTS = frozenset({Kind.AGENT_SESSION})
MARKED = EVERY - {Kind.CHATKIT_THREAD}


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `before` calls of its name go before it. `scene` says what the sweep finds.

    `fresh`: due for copy and removal at once, so that the export is the look; `bare`: due for
    removal without a copy; `copied`: due for removal, copied by an earlier sweep; `marking`: due
    for a copy and a mark upstream.
    """

    name: str
    scene: str
    call: str
    before: int
    kinds: frozenset[Kind] = field(default=EVERY)
    part: str = ""

    def fault(self, name: str, kind: Kind, id: str) -> Fault:
        """The fault that strikes this call about a thread, and all of its name after it."""
        path = f"{CATALOGUE[kind].path}/{id}"
        if self.part:
            return fault(name, f"{path}/{self.part}", None, self.before)
        return fault(name, f"{path}*", self.call, self.before)


CALLS = (
    Call("probe", "bare", "retrieve", 0),
    Call("newest", "bare", "items.list", 0),
    Call("busy", "bare", "runs.list", 0, WITH_RUNS),
    Call("copy", "fresh", "retrieve", 0),
    Call("page", "fresh", "items.list", 0),
    Call("next", "fresh", "items.list", 1),
    Call("runs", "fresh", "runs.list", 0, WITH_RUNS),
    Call("turns", "fresh", "", 0, WITH_PARTS, "turns"),
    Call("latest", "fresh", "items.list", 2),
    Call("walk", "fresh", "items.list", 3, EMPTIED),
    Call("item", "fresh", "items.delete", 1, EMPTIED),
    Call("proof", "fresh", "items.list", 5, EMPTIED),
    Call("delete", "fresh", "delete", 0),
    Call("compare", "copied", "retrieve", 0),
    Call("paged", "copied", "items.list", 0),
    Call("after", "copied", "items.list", 2),
    Call("read", "marking", "retrieve", 1, MARKED),
    Call("write", "marking", "update", 0, MARKED),
)


def calls_of(kind: Kind) -> Iterator[Call]:
    return (call for call in CALLS if kind in call.kinds)
