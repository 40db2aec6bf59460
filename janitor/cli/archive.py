"""`archive`: the copies of threads, how they are verified and how they are pruned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from janitor.app.event_loop import run_loop
from janitor.cli.options import DURATION, Count, quit_with
from janitor.cli.output import Settings, complain, emit, emit_lines, emit_long, table
from janitor.errors import JanitorError
from janitor.model import Key, Kind
from janitor.texts import counted

if TYPE_CHECKING:
    import threading
    from datetime import datetime

    from janitor.engine.context import RunContext
    from janitor.engine.prune import Pruner
    from janitor.engine.report import Report
    from janitor.engine.verification import ArchiveFinding, Verification
    from janitor.policy.copy_retention import KeptCopy
    from janitor.registry import Pause

SHOWN = 30
MOST_KEPT = 1000
"""So many findings are in a JSON document; JSON lines have all."""


@click.group("archive")
def archive_command() -> None:
    """Verify and prune the archive copies of threads.

    \b
    Examples:
      janitor archive verify
      janitor archive prune --dry-run
      janitor archive prune
    """


@archive_command.command("prune")
@click.option("--dry-run", is_flag=True, help="Show what would be removed; change nothing.")
@click.option(
    "--yes",
    type=Count(1),
    help="Remove exactly this many copies, even above `limits.max_percent`.",
)
@click.option("--wait", type=DURATION, default="30s", help="How long to wait for another janitor.")
@click.pass_obj
def prune_command(settings: Settings, *, dry_run: bool, yes: int | None, wait: timedelta) -> None:
    """Remove archive copies of deleted threads that are past their `keep_for`.

    Every sweep also does this at its end. A copy stays while its thread still exists, while a hold
    names or may name the thread, and while everything, its project or its policy is paused.
    Nothing is removed in audit mode. After an upgrade from a version that never removed copies,
    run this once to make the first removal.

    \b
    Examples:
      janitor archive prune --dry-run
      janitor archive prune
      janitor archive prune --yes 120
    """
    from janitor.cli.plan import run
    from janitor.engine.prune import prune_archive

    if dry_run:
        _foresee(settings)
        return

    async def work(context: RunContext, stop: threading.Event) -> Report:
        return await prune_archive(context, stop, yes=yes)

    run(settings, wait, None, work)


def _foresee(settings: Settings) -> None:
    """Look for copies as `prune` would, and list what it would remove."""
    from janitor.app.compose import compose
    from janitor.app.open_registry import open_registry
    from janitor.config import load

    config = load(settings.config_path())

    async def look() -> int:
        async with compose(config, registry, changing=False) as context:
            return await asyncio.to_thread(_show, settings, context)

    with open_registry(config, read_only=True) as registry:
        code = run_loop(look)
    quit_with(code)


def _show(settings: Settings, context: RunContext) -> int:
    from janitor.engine.clock import CLOCK
    from janitor.engine.prune import Pruner
    from janitor.engine.redecide import under_approval

    context, now = under_approval(context), context.clock()
    context.watch.compare(context.registry.key_values.recall(CLOCK))
    pruner = Pruner(context)
    found, trouble = pruner.survey(now), context.watch.trouble
    rows = _rows(pruner, now) if found.error is None else iter(())
    if settings.output == "jsonl":
        emit_lines(rows)
    elif settings.output == "json":
        numbers = found.document() | {"clock_step": trouble}
        head = {"dry_run": True, "mode": context.policies.mode, "pruned": found.due, **numbers}
        emit_long(head, "copies", rows)
    else:
        _table(rows, found.due, context.registry.pauses.in_force(now))
    for message in (*found.messages(), *filter(None, (trouble,))):
        complain(message)
    return min(found.exit_codes, default=1 if found.failed else 0)


def _rows(pruner: Pruner, now: datetime) -> Iterator[dict[str, Any]]:
    return (_row(copy) for copy in pruner.going(now))


def _row(copy: KeptCopy) -> dict[str, Any]:
    return {
        "id": copy.key.id,
        "kind": copy.key.kind,
        "project": copy.key.project,
        "policy": copy.policy,
        "deleted_at": copy.deleted_at,
        "kept_until": copy.until,
        "objects": list(copy.paths),
    }


def _table(rows: Iterator[dict[str, Any]], due: int, pauses: tuple[Pause, ...]) -> None:
    from janitor.cli.render import moment, paused

    fields = ("project", "kind", "id", "policy", "deleted_at", "kept_until")
    shown = [[moment(row[name]) for name in fields] for row in islice(rows, SHOWN)]
    paused(pauses)
    if not shown:
        click.echo("No copies would be removed.")
        return
    table("Archive copies that would be removed", fields, shown)
    if next(rows, None) is not None:
        click.echo("… and more; --output jsonl lists all")
    click.echo(
        f"{counted(due, 'copy', 'copies')}. Nothing was changed. Next: janitor archive prune"
    )


@archive_command.command("verify")
@click.option("--sample", type=Count(1), help="Read only this many copies, chosen at random.")
@click.option("--after", metavar="PROJECT/KIND/ID", help="Continue behind this thread.")
@click.pass_obj
def verify_command(settings: Settings, *, sample: int | None, after: str | None) -> None:
    """Read every copy again, and check it against what was proven when it was made.

    Reports copies that are missing, truncated, altered or unreadable, with their threads, and
    objects that no thread of this registry names. Exits with 1 if there are any. Changes nothing,
    and may run beside a sweep. With --sample, objects that nobody names are not looked for.

    \b
    Examples:
      janitor archive verify
      janitor archive verify --sample 200
      janitor --output jsonl archive verify > damaged.jsonl
    """
    from janitor.app.clock import utc_now
    from janitor.archive import Archive
    from janitor.cli.inspect import opened
    from janitor.cli.progress import shown
    from janitor.engine.progress import Progress
    from janitor.engine.verification import ArchiveVerifier

    behind = None if after is None else _key(after)
    config, registry = opened(settings)
    progress, found = Progress(), _Findings(settings)
    with registry:
        url = config.archive.url
        is_known = registry.copies.count() > 0 or registry.copies.archive_url() == url
        if not is_known and not config.archive.path.exists():
            click.echo("There is no archive yet.", err=True)
            return
        archive = Archive.open(url, create=False, known=is_known)
        verifier = ArchiveVerifier(registry, archive, found.add, progress, utc_now())
        try:
            with shown(progress):
                verifier.verify(after=behind, sample=sample)
                if sample is None:
                    verifier.find_unnamed()
        except (JanitorError, KeyboardInterrupt, SystemExit):
            if (last := verifier.done.last) is not None and sample is None:
                place = f"{last.project}/{last.kind}/{last.id}"
                complain(f"stopped; to continue: janitor archive verify --after {place}")
            raise
    found.show(verifier.done)
    quit_with(verifier.done.exit_code)


class _Findings:
    """What was found: shown at the end, or as it comes with `--output jsonl`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: list[dict[str, Any]] = []

    def add(self, finding: ArchiveFinding) -> None:
        """Take the next finding."""
        if self._settings.output == "jsonl":
            emit_lines([finding.row()])
        elif len(self._kept) < MOST_KEPT:
            self._kept.append(finding.row())

    def show(self, done: Verification) -> None:
        """Print what is left to print."""
        if self._settings.output == "json":
            numbers = {"checked": done.checked, "sound_bytes": done.sound}
            found = {"damaged": done.damaged, "unnamed": done.unnamed}
            emit(self._settings, {**numbers, **found, "findings": self._kept})
        elif self._settings.output != "jsonl":
            self._table(done)

    def _table(self, done: Verification) -> None:
        fields = ("project", "kind", "id", "state", "what", "path")
        if self._kept:
            rows = [[str(row[name] or "") for name in fields] for row in self._kept[:SHOWN]]
            table("Damaged, missing or unknown", fields, rows)
        if (left := done.damaged + done.unnamed - SHOWN) > 0:
            click.echo(f"… and {left} more; --output jsonl lists all")
        read = f"{counted(done.checked, 'copy', 'copies')} read, {done.sound:,} bytes are sound"
        if not done.exit_code:
            click.echo(f"{read}; nothing is wrong.")
            return
        click.echo(
            f"{read}; {counted(done.damaged, 'copy is', 'copies are')} missing or damaged; "
            f"{counted(done.unnamed, 'object is', 'objects are')} named by no thread. Restore what "
            "is damaged from a backup; a thread that still exists upstream is archived again by "
            "the next sweep once the damaged object is moved away."
        )


def _key(text: str) -> Key:
    project, _, rest = text.partition("/")
    kind, _, name = rest.partition("/")
    if not (project and name and kind in {*Kind}):
        raise click.UsageError(
            f"--after {text}: write PROJECT/KIND/ID, as `archive verify` printed it"
        )
    return Key(project, Kind(kind), name)
