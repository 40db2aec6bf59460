"""What janitor is killed in the midst of: every stage, what undoes one, a plan, and recovery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fail_points import Own
from seams import Point

from janitor.kinds import CATALOGUE
from janitor.model import Kind

if TYPE_CHECKING:
    from crash_stage import Stage

MARKED_KINDS = tuple(kind for kind in Kind if CATALOGUE[kind].has_metadata)
ONE = (Kind.CONVERSATION,)
CONFIG = """\
version: 1
mode: enforce
registry: {{url: "{registry}"}}
projects:
  main:
    api_key: {{env: JANITOR_CRASH_KEY}}
    base_url: "{base_url}"
    concurrency: 1
    trust_reported: {trusted}
    rate: {{delete: unlimited, read: unlimited, write: unlimited}}
{twin}archive: {{url: "file://{directory}/archive", keep_for: 1y}}
limits: {{max_percent: 100}}
policies:
  - {{name: all, match: {{project: {projects}}}, {policy}}}
"""
TWIN = """\
  twin:
    api_key: {{env: JANITOR_CRASH_KEY}}
    base_url: "{base_url}"
    concurrency: 1
    rate: {{delete: unlimited, read: unlimited, write: unlimited}}
"""
SOURCE = """\
sources:
  chats:
    sql: {url: "sqlite:///app.db", watermark: updated_at,
          query: "SELECT id, kind, updated_at FROM chats WHERE updated_at > :watermark"}
    on_vanish: {expire_after: 30d}
"""
DELETE = "archive: {after: 7d}, delete: {after: 30d}"
LAST = "delete: {after: 30d}, keep_last: {count: 1}"
MARK = "soft_delete: {after: 20d, mark: upstream}, delete: {after: 90d}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run to be killed, over one container of each kind in turn.

    `prepare` brings the stage to where the run begins. `own` is what to die
    in, too, of what comes before the first request and after the last settlement: the deletion's
    sweep is died in as a whole, and what others have in common with it is not died in again.
    Without `is_trusted` times are no longer believed that were. `is_fed`: an
    application's table names it, too. `is_shared`: a second project of the account has it
    registered, too. `died` is where a janitor was killed already: what is killed here is the
    recovery. `exits` are the codes that the last run may end with; `is_swept`: a sweep follows it,
    which closes what the dead left open.
    """

    name: str
    policy: str
    kinds: tuple[Kind, ...] = tuple(Kind)
    command: tuple[str, ...] = ("sweep",)
    prepare: Callable[[Stage], None] = lambda _: None
    items: int = 3
    own: Own = ()
    is_trusted: bool = True
    is_fed: bool = False
    is_shared: bool = False
    is_swept: bool = False
    died: Point | None = None
    exits: frozenset[int] = frozenset({0})


def configuration(scenario: Scenario, *, registry: str, base_url: str, directory: Path) -> str:
    """The text of a scenario's configuration file."""
    text = CONFIG.format(
        registry=registry,
        base_url=base_url,
        directory=directory,
        policy=scenario.policy,
        trusted=str(scenario.is_trusted).lower(),
        projects="[main, twin]" if scenario.is_shared else "main",
        twin=TWIN.format(base_url=base_url) if scenario.is_shared else "",
    )
    return text + (SOURCE if scenario.is_fed else "")


def swept(stage: Stage) -> None:
    """A sweep was done."""
    stage.must("sweep")


def marked_and_active_again(stage: Stage) -> None:
    """Somebody wrote before the window was over in which a soft delete can be undone."""
    stage.must("sweep")
    stage.age_soft_delete(days=200)
    stage.emulator.touch(stage.key.id)


def marked_long_ago(stage: Stage) -> None:
    """The window in which a soft delete can be undone is over."""
    stage.must("sweep")
    stage.age_soft_delete(days=200)


def copied_and_active_again(stage: Stage) -> None:
    """What was copied before has a new item."""
    stage.must("sweep")
    stage.emulator.append_item(stage.key.id)
    stage.make_due()


def copy_past_its_date(stage: Stage) -> None:
    """What was copied and deleted, its copy to be kept no longer."""
    stage.must("sweep")
    stage.let_copy_end()


def copy_past_its_date_and_gone(stage: Stage) -> None:
    """What was copied and deleted, and somebody has removed its copy, which was past its date."""
    copy_past_its_date(stage)
    stage.lose_object()


def a_head_to_be_looked_at(stage: Stage) -> None:
    """A more recent thread, which the run looks at for its own sake, takes the only place."""
    stage.add_head()


def a_head_seen_before(stage: Stage) -> None:
    """A more recent thread, which the run asks for as a head alone, takes the only place."""
    stage.add_head(is_seen=True)


def planned(stage: Stage) -> None:
    """A plan was made."""
    stage.must("plan", "-o", "plan.json")


def vanished(stage: Stage) -> None:
    """Somebody else has deleted the container."""
    stage.forget()


def told_by_a_table(stage: Stage) -> None:
    """The application's own table names the container."""
    stage.tell_in_table()


def paused(stage: Stage) -> None:
    """Somebody has paused everything."""
    stage.must("pause", "--reason", "a look around")


def refused(stage: Stage) -> None:
    """The credential is no longer good."""
    stage.refuse()


def torn(stage: Stage) -> None:
    """A janitor died when its copy had got its name, and half of it was lost with the power."""
    stage.die(PUBLISHED)
    stage.tear_object()


def gone(kind: Kind) -> Point:
    """Where the container was removed and the reply has come."""
    return Point(f"engine/executor.py:remove DELETE {CATALOGUE[kind].path}/*", 1, "after")


HALF_WRITTEN = Point("archive/local.py:write os.write", 1, "midst")
PUBLISHED = Point("archive/local.py:publish os.link", 1, "after")
PRUNED = Point("archive/local.py:remove os.unlink", 1, "after")
UNSENT = Point("registry/settlements.py:intend commit", 1, "after")
TORN = Point("drivers/container.py:_delete DELETE /conversations/*/items/*", 9, "before")

STOPPED = (
    *("registry/claims.py:pass_by ", "registry/runs.py:note_stop ", "registry/runs.py:record "),
    "registry/runs.py:close ",
)

SCENARIOS = (
    Scenario("delete", DELETE, own="whole"),
    Scenario("soft delete", "soft_delete: {after: 10d}, delete: {after: 90d}"),
    Scenario("mark", MARK, MARKED_KINDS),
    Scenario("revived", MARK, prepare=marked_and_active_again),
    Scenario("window over", MARK, prepare=marked_long_ago),
    Scenario(
        "copy again", "archive: {after: 7d}, age_from: created", prepare=copied_and_active_again
    ),
    Scenario("copy by number", "archive: {items: 2}, delete: {after: 30d}", ONE),
    Scenario("missing", DELETE, prepare=vanished),
    Scenario("put off", LAST, ONE, prepare=a_head_to_be_looked_at),
    Scenario("head", LAST, ONE, prepare=a_head_seen_before),
    Scenario("recovery under a head", LAST, ONE, prepare=a_head_seen_before, died=UNSENT),
    Scenario("paused", DELETE, ONE, prepare=paused, own=STOPPED),
    Scenario("refused", DELETE, ONE, prepare=refused, own=STOPPED, exits=frozenset({3})),
    Scenario("distrusted", DELETE, ONE, own=("registry/registry.py:_date_",), is_trusted=False),
    Scenario(
        "source", DELETE, ONE, ("sync",), told_by_a_table, own="whole", is_fed=True, is_swept=True
    ),
    Scenario("apply", DELETE, command=("apply", "plan.json"), prepare=planned, own="whole"),
    Scenario(
        "restore",
        MARK,
        MARKED_KINDS,
        command=("restore", "ID"),
        prepare=swept,
        own="whole",
        is_swept=True,
        exits=frozenset({0, 2}),  # the second is told that nothing is left to be restored
    ),
    Scenario("shared", DELETE, ONE, is_shared=True),
    Scenario("recovery of what is shared and gone", DELETE, ONE, is_shared=True, died=gone(ONE[0])),
    Scenario("tag", DELETE, ONE, command=("tag",), own="whole", is_swept=True),
    Scenario("prune", DELETE, ONE, prepare=copy_past_its_date),
    Scenario(
        "prune on demand", DELETE, ONE, ("archive", "prune"), copy_past_its_date, is_swept=True
    ),
    Scenario("prune of what is gone", DELETE, ONE, prepare=copy_past_its_date_and_gone),
    Scenario(
        "recovery of a copy that is gone", DELETE, ONE, prepare=copy_past_its_date, died=PRUNED
    ),
    Scenario("torn copy", DELETE, ONE, prepare=torn),
    Scenario("recovery of half a copy", DELETE, ONE, died=HALF_WRITTEN),
    Scenario("recovery of a copy nobody knows of", DELETE, ONE, died=PUBLISHED),
    Scenario("recovery of nothing sent", DELETE, died=UNSENT),
    *(
        # Each kind's removal has been answered, and nobody has written that down.
        Scenario("recovery of what is gone", DELETE, (kind,), died=gone(kind))
        for kind in Kind
    ),
    Scenario("recovery of half the items", DELETE, ONE, items=10, died=TORN),
    Scenario(
        "recovery of half the items without a copy",
        "delete: {after: 30d}",
        ONE,
        items=10,
        died=TORN,
    ),
)
