"""Each effect in the program's source is died at in some scenario, or stands here with a reason."""

from __future__ import annotations

from uuid import uuid4

import pytest
from crash_databases import Database, Files, Shared
from crash_effects import effects, imports
from crash_scenarios import SCENARIOS, Scenario
from crash_stage import Forks, Stage
from postgres import Server

from janitor.emulator import Emulator
from janitor.model import Kind

ONE_TRANSACTION = "all that the call does, for whoever made it and hears no answer: done or not"
ONLY_ASKS = "asks the server and changes nothing; what is asked there decides what is sent later"
SPOOLED = "the application's side: it dies in tests of its own; a line arrives twice at worst"
LISTED = "a page of a list or a foreign table; is killed in tests of its own and goes on behind it"
CANARY = "one of the janitor's own, registered before it is done anything with; removes no other"
SCREENED = (
    "a pass that is marked as not over until it is, and done again; dies in a test of its own"
)
ELSEWHERE = {
    "cli/check.py:init_command": "writes a file for a person, who sees it and can do it again",
    "cli/outfile.py:_replace": "writes for a person, as a whole or not at all",
    "cli/outfile.py:write_private": "writes into a pipe or a terminal",
    "doctor/access.py:_look": ONLY_ASKS,
    "doctor/canary.py:_clean_up": CANARY,
    "doctor/canary.py:try_canary": CANARY,
    "drivers/containers.py:_list_page": LISTED,
    "drivers/environment.py:_check_key_log": "tries whether a file can be appended to",
    "metrics.py:write": "numbers for a scrape, as a whole or not at all",
    "drivers/conversation.py:add_item": CANARY,
    "drivers/conversation.py:plant": CANARY,
    "registry/approving.py:approve": ONE_TRANSACTION,
    "registry/feeding.py:come_by": "marks of a round that a death before its end begins anew",
    "registry/holds.py:add_hold": ONE_TRANSACTION,
    "registry/holds.py:release_hold": ONE_TRANSACTION,
    "registry/importing.py:enter": "pages of an import: e2e/importing kills it between them",
    "registry/importing.py:forget_place": "the end of an import; without it the end is read again",
    "registry/inbox.py:append": ONE_TRANSACTION,
    "registry/inbox.py:_refuse": ONE_TRANSACTION,
    "registry/pausing.py:_rewrite": ONE_TRANSACTION,
    "registry/registration.py:register": "pages of an import, which is idempotent",
    "registry/registration.py:touch": "pages of an import, which is idempotent",
    "registry/plans.py:hand_over": ONE_TRANSACTION,
    "registry/claiming.py:renew": "has a test of its own: it happens by the clock",
    "registry/screening.py:_record_screen": SCREENED,
    "registry/screening.py:_screen_page": SCREENED,
    "registry/screening.py:_screen_rest": SCREENED,
    "registry/sweeping.py:note": "that a head was not there or failed: it is asked for again",
    "sources/rejects.py:add": "before the page that it is of, and cut off where that never entered",
    "sources/rejects.py:open": "as long as what was named before, or empty",
    "sweep/asking.py:_hear": ONLY_ASKS,
    "sweep/canaries.py:_is_alive": ONLY_ASKS,
    "sweep/plan.py:_ask_head": ONLY_ASKS,
    "sweep/removing.py:_is_torn": ONLY_ASKS,
    "sweep/review.py:_is_torn": ONLY_ASKS,
    "sweep/unfinished.py:_left": ONLY_ASKS,
    "sweep/unfinished.py:on_probe": ONLY_ASKS,
    "tracking/places.py:make_private": SPOOLED,
    "tracking/spool.py:append": SPOOLED,
    "tracking/spool.py:create": SPOOLED,
    "tracking/spool.py:release": SPOOLED,
    "tracking/spool.py:remove": SPOOLED,
    "tracking/spool.py:_cut": SPOOLED,
    "tracking/spool.py:_sync_all": SPOOLED,
    "tracking/spool.py:take": SPOOLED,
}
"""Places with effects that no scenario dies at, and why that is well."""

MODULES = {
    ("cli/demo.py", "subprocess"): "the demo plays in a directory of its own and is thrown away",
    ("cli/demo.py", "tempfile"): "the demo plays in a directory of its own and is thrown away",
    ("cli/demo.py", "urllib.request"): "the demo reads the metrics of its own service",
    ("cli/health.py", "http.client"): "asks the service on this machine how it is",
    ("cli/textfile.py", "tempfile"): "tries a directory with a file that is gone at once",
    ("cli/outfile.py", "tempfile"): "names a draft that takes the file's place as a whole",
    ("drivers/environment.py", "urllib.request"): "reads which proxies the environment names",
    ("metrics.py", "tempfile"): "names a draft that takes the file's place as a whole",
    ("doctor/machine.py", "http.client"): "asks the service on this machine how it is",
    ("doctor/machine.py", "shutil"): "for the room that a disk has",
    ("doctor/machine.py", "socket"): "tries whether a port is free, and lets it go",
    ("registry/lock.py", "socket"): "for the name of the host",
    ("registry/postgresql.py", "socket"): "for the name of the host",
    ("registry/sqlite.py", "sqlite3"): "opens for reading; all writing goes through SQLAlchemy",
    ("drivers/failures.py", "socket"): "for the error of a name that nobody knows",
    ("sources/foreign_errors.py", "sqlite3"): "for the numbers of SQLite's errors",
    ("sources/foreign.py", "sqlite3"): "opens the application's database for reading alone",
    ("service/server.py", "socket"): "listens; what it answers changes nothing",
    (
        "tracking/inboxes.py",
        "sqlite3",
    ): "inserts rows that may come twice; dies in its own tests",
    ("sources/rejects.py", "tempfile"): "holds what was refused until it was told; has no name",
    ("tracking/places.py", "tempfile"): "names the system's directory for what is temporary",
}
"""Modules of effects that the seams do not see, and why that is well."""


@pytest.fixture(scope="module")
def reached(
    served: tuple[Emulator, str],
    forks: Forks,
    postgres: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> set[str]:
    """Which functions had which effect in any scenario that runs are killed in."""
    found: set[str] = set()

    def play(scenario: Scenario, kind: Kind, database: Database) -> None:
        directory = tmp_path_factory.mktemp("reached")
        stage = Stage(scenario, directory, *served, database, forks, kind)
        if scenario.died is not None:
            stage.die(scenario.died)
        stage.run()
        found.update(stage.reached)
        stage.close()

    delete, *others = SCENARIOS
    for kind in delete.kinds:
        play(delete, kind, Files())
    for scenario in others:
        play(scenario, scenario.kinds[0], Files())
    shared = Shared(postgres, f"reached{uuid4().hex}")
    play(delete, Kind.CONVERSATION, shared)
    shared.close()
    return found


def test_every_effect_is_a_fail_point_or_says_why_not(reached: set[str]) -> None:
    never = {effect.place for effect in effects() if not effect.is_in(reached)}
    assert never == ELSEWHERE.keys(), "\n".join(sorted(never ^ ELSEWHERE.keys()))


def test_what_has_effects_past_the_seams_says_why() -> None:
    assert set(imports()) == MODULES.keys()
