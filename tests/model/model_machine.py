"""Everybody acts at once, in any order: the rules of the game, and what holds after each step."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from model_checks import broken, left_open, undone
from model_policies import METADATA, policies
from model_world import ACTS, Estate, Found, estate_in
from sweep_world import DAY

from janitor.engine.plan import Plan
from janitor.errors import ConfigError, LockedError
from janitor.model import Kind, Mode
from janitor.policy import Policies
from janitor.registry import RunResult

MOST = 12
acts = st.tuples(st.sampled_from(ACTS), st.integers(0, 400))
meanwhile = st.lists(st.tuples(st.integers(0, 30), acts), min_size=1, max_size=3)
skips = st.integers(0, 40)
containers = st.builds(
    Found,
    kind=st.sampled_from([*Kind, Kind.CONVERSATION, Kind.CONVERSATION]),
    metadata=st.sampled_from(METADATA),
    age=st.sampled_from([100, 40, 5, 0]),
    items=st.integers(0, 5),
    is_told=st.sampled_from([True, True, False]),
    is_registered=st.sampled_from([True, True, True, True, False]),
)


class Model(RuleBasedStateMachine):
    """Two janitors on one registry, an application that keeps writing, operators, and time."""

    estate: Estate

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.plan: Plan | None = None

    def address(self) -> str:
        """Where the registry is; empty for a file."""
        return ""

    @initialize(said=policies, first=st.lists(containers, min_size=5, max_size=8))
    def begin(self, said: Policies, first: list[Found]) -> None:
        root = Path(tempfile.mkdtemp(prefix="janitor-model-"))
        self.stack.callback(shutil.rmtree, root)
        self.estate = self.stack.enter_context(estate_in(root, said, self.address()))
        for one in first:
            self.estate.add(one)

    @rule(one=containers)
    def add(self, one: Found) -> None:
        if len(self.estate.things) < MOST:
            self.estate.add(one)

    @rule(act=acts)
    def act(self, act: tuple[str, int]) -> None:
        self.estate.act(*act)

    @rule(hours=st.sampled_from([1, 7, 24, 24 * 8, 24 * 31, 24 * 100]))
    def wait(self, hours: int) -> None:
        self.estate.server.clock.advance(timedelta(hours=hours))

    @rule(said=policies)
    def reconfigure(self, said: Policies) -> None:
        self.estate.choose(said)

    @rule()
    def approve(self) -> None:
        if self.estate.judge.registry.policies.approval() is not None:
            self.estate.janitors[1].approve()

    @rule(by=st.integers(0, 1), concurrency=st.sampled_from([1, 8]))
    def sweep(self, by: int, concurrency: int) -> None:
        self.estate.janitors[by].concurrency = concurrency
        with self.sweeping():
            report = self.estate.janitors[by].sweep_or_die()
        assert report is not None
        assert report.run.result in (RunResult.DONE, RunResult.LIMITED), report
        self.check_closed()

    @rule(days=st.integers(1, 40), act=acts)
    def live(self, days: int, act: tuple[str, int]) -> None:
        """Some days with a sweep at the end of them, and once more after somebody did something."""
        self.estate.server.clock.advance(days * DAY)
        self.sweep(0, 8)
        self.estate.act(*act)
        self.sweep(1, 1)

    @rule(what=meanwhile)
    def sweep_amid(self, what: list[tuple[int, tuple[str, int]]]) -> None:
        """A sweep between whose requests others act."""
        first = self.estate.janitors[0]
        first.concurrency = 1
        for skip, act in what:
            first.on("GET", "*", partial(self.estate.act, *act), skip=skip)
        with self.sweeping(), self.estate.midst():
            assert first.sweep_or_die() is not None
        del first.hooks[1:]
        self.check_closed()

    @rule(skip=skips, method=st.sampled_from(["*", "DELETE", "POST"]), late=st.booleans())
    def die(self, skip: int, method: str, late: bool) -> None:
        """A sweep that is killed right before or after a request."""
        first = self.estate.janitors[0]
        first.die_at(method, "*", skip=skip // 8 if method != "*" else skip, after=late)
        with self.sweeping():
            first.sweep_or_die()
        del first.hooks[1:]
        self.bury()

    @rule(skip=skips, name=st.sampled_from(["settle", "intend"]), late=st.booleans())
    def fail(self, skip: int, name: str, late: bool) -> None:
        """A sweep whose disk fails at some write, after it was committed or before."""
        second = self.estate.janitors[1]
        with self.sweeping(), second.failing(name, skip // 4, late=late):
            second.sweep_or_die()
        self.bury()

    @rule(skip=skips)
    def both(self, skip: int) -> None:
        """One janitor begins while the other is in the midst of a sweep."""
        self.overlap(skip)
        self.check_closed()

    def overlap(self, skip: int) -> None:
        first, second = self.estate.janitors
        first.on("GET", "*", lambda: self.refused(second.sweep_or_die), skip=skip)
        with self.sweeping():
            assert first.sweep_or_die() is not None
        del first.hooks[1:]

    def refused(self, sweep: object) -> None:
        try:
            assert callable(sweep)
            sweep()
        except LockedError:
            return
        self.estate.judge.wrong.append("two janitors swept at once")

    @rule(days=st.sampled_from([-400, -1, 1, 40, 400]))
    def wrong_clock(self, days: int) -> None:
        """A janitor whose clock is wrong, which the server's dates tell."""
        first = self.estate.janitors[0]
        first.off = days * DAY
        with self.sweeping(still=True):
            first.sweep_or_die()
        first.off = timedelta()
        self.check_closed()

    @rule()
    def look(self) -> None:
        """A plan; nothing changes by it."""
        self.estate.heed_approval()
        before = self.everything()
        with self.sweeping(still=True):
            self.plan = self.estate.janitors[0].plan()
        assert self.everything() == before

    @precondition(lambda self: self.plan is not None)
    @rule()
    def apply(self) -> None:
        """The last plan, where it may still be applied."""
        assert self.plan is not None
        with self.sweeping(approving=self.plan.pending), suppress(ConfigError):
            self.estate.janitors[0].apply(self.plan)

    def sweeping(self, *, still: bool = False, approving: bool = False) -> ExitStack:
        """What the judge has to know while a janitor is at work."""
        self.estate.heed_approval()
        judge, promises = self.estate.judge, self.estate.judge.promises
        audit = promises.current.mode is Mode.AUDIT
        judge.is_still = still or audit or bool(promises.pauses & {"all", "project:main"})
        if approving:
            promises.approved = promises.current
        stack = ExitStack()
        stack.callback(setattr, judge, "is_still", False)
        return stack

    def bury(self) -> None:
        """What only time would end elsewhere."""

    def check_closed(self) -> None:
        left = list(left_open(self.estate))
        assert not left, left

    def everything(self) -> object:
        """All that a dry run must leave as it is."""
        root = self.estate.janitors[0].root
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return [(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "estate"):
            found = list(broken(self.estate))
            assert not found, "\n".join(found)

    def teardown(self) -> None:
        try:
            if hasattr(self, "estate") and sys.exc_info()[0] is None:
                self.calm()
        finally:
            self.stack.close()

    def calm(self) -> None:
        """Everybody goes home; what is due is done in the end, and what must stay stays."""
        estate = self.estate
        for name in ("resume",) * 4 + ("release",) * len(estate.judge.promises.holds):
            estate.act(name, 0)
        for thing in estate.things:
            estate.rest(thing, 0)
        said = estate.judge.promises.current
        if said.mode is Mode.AUDIT:
            return
        self.sweep(0, 8)
        estate.janitors[1].approve()
        for _ in range(4):
            estate.server.clock.advance(100 * DAY)
            self.sweep(0, 8)
            self.holds()
        left = list(undone(estate))
        assert not left, "\n".join(left)
