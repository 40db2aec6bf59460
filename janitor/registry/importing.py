"""Pages of a file: each enters together with the place up to which its file was read.

Whoever is cut short goes on from the place of the last page that entered, after a crash too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from janitor.registry.entries import Registered, Registration
from janitor.registry.registration import Registering, check

_PLACE = "place_"


class Importing(Registering):
    """Registering from files."""

    def enter(
        self,
        file: str,
        page: Sequence[Registration],
        now: datetime,
        place: Callable[[Registered], str],
    ) -> Registered:
        """Register a page of a file and, in the same transaction, remember where the next begins.

        `place` is given what the page did, and says where. RefusedRegistration: one must not
        enter; nothing of the page was written.
        """
        for said in page:
            check(said)
        with self._writing_alone() as connection:
            done = self._register(connection, page, now)
            self._set_meta(connection, _PLACE + file, place(done))
        return done

    def place(self, file: str) -> str | None:
        """Where a file that was cut short goes on; `None`: it begins."""
        return self._meta(_PLACE + file)

    def forget_place(self, file: str) -> None:
        """A file was read to its end; who gives it again begins anew."""
        with self._writing() as connection:
            self._set_meta(connection, _PLACE + file, None)
