"""Games on a registry that both janitors work at once."""

from __future__ import annotations

import threading

import pytest
from model_checks import rows
from model_machine import Model
from model_profile import played
from postgres import Server
from sqlalchemy import text

EVERYTHING = """
    SELECT table_name AS name FROM information_schema.tables
    WHERE table_schema = 'public' ORDER BY table_name
"""
FREE = "UPDATE thread SET claim_until = now() - interval '1 hour' WHERE claim_owner IS NOT NULL"


class Shared(Model):
    """A sweep is shared here, and the claims of the dead stand until their lease is over."""

    server: Server

    def address(self) -> str:
        name = self.stack.enter_context(self.server.database())
        return self.server.url(name)

    def bury(self) -> None:
        """Time goes by, and the leases of the dead are over."""
        with self.estate.judge.registry.store.writing() as connection:
            connection.execute(text(FREE))

    def overlap(self, _: int) -> None:
        """Both sweep at once."""
        with self.sweeping():
            threads = [threading.Thread(target=one.sweep_shared) for one in self.estate.janitors]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def everything(self) -> object:
        registry = self.estate.judge.registry
        names = [row["name"] for row in rows(registry, EVERYTHING)]
        held = {name: sorted(map(str, rows(registry, f"SELECT * FROM {name}"))) for name in names}  # noqa: S608 - our own tables
        return super().everything(), held


@pytest.fixture(autouse=True)
def served(postgres: Server) -> None:
    Shared.server = postgres


TestShared = pytest.mark.timeout(0)(Shared.TestCase)
TestShared.settings = played(4, 40)
