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
    "cli/config.py:_create": "makes a directory for a person, who can do it again",
    "cli/config.py:_write_starter": "writes a file for a person, who sees it and can do it again",
    "cli/private_file.py:_replace": "writes for a person, as a whole or not at all",
    "cli/private_file.py:require_private": "tries a directory with a file that is gone at once",
    "cli/private_file.py:write_private": "writes into a pipe or a terminal",
    "doctor/checks.py:_look": ONLY_ASKS,
    "doctor/canary.py:_clean_up": CANARY,
    "doctor/canary.py:try_canary": CANARY,
    "drivers/container.py:_list_page": LISTED,
    "drivers/environment.py:_check_key_log": "tries whether a file can be appended to",
    "metrics.py:write": "numbers for a scrape, as a whole or not at all",
    "drivers/conversation.py:add_item": CANARY,
    "drivers/conversation.py:plant": CANARY,
    "registry/sqlite.py:is_locked": "asks whether a lock is held, for doctor; writes nothing",
    "registry/policies.py:approve": ONE_TRANSACTION,
    "registry/scans.py:mark_seen": "marks of a round that a death before its end begins anew",
    "registry/holds.py:add": ONE_TRANSACTION,
    "registry/holds.py:release": ONE_TRANSACTION,
    "registry/registrations.py:enter": "pages of an import: e2e/importing kills it between them",
    "registry/registrations.py:forget_place": "the end of an import, else read again",
    "registry/inbox.py:append": ONE_TRANSACTION,
    "registry/inbox.py:_refuse": ONE_TRANSACTION,
    "registry/pauses.py:_rewrite": ONE_TRANSACTION,
    "registry/registrations.py:add": "pages of an import, which is idempotent",
    "registry/registrations.py:touch": "pages of an import, which is idempotent",
    "registry/plans.py:hand_over": ONE_TRANSACTION,
    "registry/claims.py:renew": "has a test of its own: it happens by the clock",
    "registry/stored_metadata.py:_record_screen": SCREENED,
    "registry/stored_metadata.py:_screen_page": SCREENED,
    "registry/stored_metadata.py:_screen_rest": SCREENED,
    "registry/settlements.py:note": "that a head was not there or failed: it is asked for again",
    "sources/importer.py:add": "before the page that it is of, cut off where that never entered",
    "sources/importer.py:open": "as long as what was named before, or empty",
    "engine/clock.py:_hear": ONLY_ASKS,
    "engine/missing.py:_is_alive": ONLY_ASKS,
    "engine/plan.py:_ask_head": ONLY_ASKS,
    "engine/executor.py:_is_torn": ONLY_ASKS,
    "engine/executor.py:_undoubted": ONLY_ASKS,
    "engine/review.py:_count": ONLY_ASKS,
    "engine/review.py:_is_torn": ONLY_ASKS,
    "engine/recovery.py:on_probe": ONLY_ASKS,
    "tracking/spool.py:make_private": SPOOLED,
    "tracking/spool.py:append": SPOOLED,
    "tracking/spool.py:create": SPOOLED,
    "tracking/spool.py:release": SPOOLED,
    "tracking/spool.py:remove": SPOOLED,
    "tracking/spool.py:_cut": SPOOLED,
    "tracking/spool.py:_sync_all": SPOOLED,
    "tracking/spool.py:take": SPOOLED,
    "tracking/spool.py:_name": "of the application's process; delivery does not need it",
}
"""Places with effects that no scenario dies at, and why that is well."""

MODULES = {
    ("app/open_registry.py", "tempfile"): "makes an empty registry for a dry run, gone at once",
    ("causes.py", "tempfile"): "asks which directory is for what is temporary",
    ("cli/demo.py", "subprocess"): "the demo plays in a directory of its own and is thrown away",
    ("cli/demo.py", "tempfile"): "the demo plays in a directory of its own and is thrown away",
    ("cli/demo.py", "urllib.request"): "the demo reads the metrics of its own service",
    ("cli/serve.py", "http.client"): "asks the service on this machine how it is",
    ("app/run_metrics.py", "tempfile"): "tries a directory with a file that is gone at once",
    ("cli/private_file.py", "tempfile"): "names a draft that takes the file's place as a whole",
    ("drivers/environment.py", "urllib.request"): "reads which proxies the environment names",
    ("metrics.py", "tempfile"): "names a draft that takes the file's place as a whole",
    ("doctor/checks.py", "http.client"): "asks the service on this machine how it is",
    ("doctor/checks.py", "shutil"): "for the room that a disk has",
    ("doctor/checks.py", "socket"): "tries whether a port is free, and lets it go",
    ("registry/sqlite.py", "socket"): "for the name of the host",
    ("registry/postgres.py", "socket"): "for the name of the host",
    ("registry/sqlite.py", "sqlite3"): "opens for reading; all writing goes through SQLAlchemy",
    ("drivers/client.py", "socket"): "for the error of a name that nobody knows",
    ("engine/spill.py", "sqlite3"): "a plan's own temporary file, which has no name",
    ("sources/sql_errors.py", "sqlite3"): "for the numbers of SQLite's errors",
    ("sources/sql_reader.py", "sqlite3"): "opens the application's database for reading alone",
    ("service/server.py", "socket"): "listens; what it answers changes nothing",
    ("tracking/inbox.py", "sqlite3"): "inserts rows that may come twice; dies in its own tests",
    ("sources/importer.py", "tempfile"): "holds what was refused until it was told; has no name",
    ("cli/output.py", "shutil"): "asks how wide the terminal is",
    ("tracking/spool.py", "tempfile"): "names the system's directory for what is temporary",
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
