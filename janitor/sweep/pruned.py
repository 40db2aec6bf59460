"""What became of the archive's copies past their date, counted from what was settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from janitor.errors import ArchiveError
from janitor.policy import Tripped

NAMED = 20


@dataclass(slots=True)
class Pruned:
    """The copies of deleted threads that a run found past their date.

    `due` may be removed, and `removed` were; `gone` had been removed by somebody else. `kept` are
    the others, by reason. `failures` name the first of those in `failed` and what is wrong.
    `waiting` wait for a person to begin with it after an upgrade. `tripped` is the limit that kept
    all of them, `error` why the archive does not serve.
    """

    due: int = 0
    removed: int = 0
    gone: int = 0
    waiting: int = 0
    failed: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    tripped: Tripped | None = None
    error: ArchiveError | None = None

    def fail(self, message: str) -> None:
        """Count a copy that stays because something is wrong with it, and name the first ones."""
        self.failed += 1
        if len(self.failures) < NAMED:
            self.failures.append(message)

    @property
    def foreseen(self) -> int:
        """How many a sweep would remove now."""
        return 0 if self.waiting or self.tripped is not None else self.due

    @property
    def is_limited(self) -> bool:
        """Whether a limit kept copies that would have been removed."""
        return self.tripped is not None and not self.waiting

    @property
    def exit_codes(self) -> Iterator[int]:
        """What a run exits with for the sake of the copies alone."""
        if self.is_limited:
            yield 4
        if self.error is not None:
            yield self.error.exit_code

    def document(self) -> dict[str, object]:
        """The numbers, for machines."""
        return {
            "due": self.due,
            "removed": self.removed,
            "gone": self.gone,
            "waiting": self.waiting,
            "failed": self.failed,
            "failures": self.failures,
            "kept": dict(self.kept),
            "limit": None if self.tripped is None else self.tripped.limit,
        }

    def messages(self) -> Iterator[str]:
        """What a person has to know or to do."""
        if self.waiting:
            yield (
                f"{self.waiting} archive copies are past their keep_for. Earlier versions removed "
                "none, so the first removal waits for you. List them: `janitor archive prune "
                f"--dry-run`; remove them: `{_command(self)}`"
            )
        elif self.tripped is not None:
            over = self.tripped
            yield (
                f"archive: {over.due} of {over.population} copies are past their keep_for, more "
                f"than {over.limit} allows at once ({over.allowed}); none was removed. List them: "
                f"`janitor archive prune --dry-run`; if that is right: `{_command(self)}`"
            )
        yield from self.failures
        if (more := self.failed - len(self.failures)) > 0:
            yield f"archive: {more} more copies stay for such reasons"
        if self.error is not None:
            yield f"{self.error}. Copies past their keep_for stay until it answers"


def _command(pruned: Pruned) -> str:
    if pruned.tripped is None:
        return "janitor archive prune"
    return f"janitor archive prune --yes {pruned.tripped.due}"
