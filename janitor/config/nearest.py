"""Keys that people try in a policy and that do not exist, and the nearest one that does.

Policies have no conditions on size or age, name no single thread and have no order: which policies
apply to a thread depends only on its kind, project and metadata, not on the day or on the order of
lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from janitor.config.yaml_source import DocumentPath

Table = Mapping[str, str]


def _table(*rows: tuple[str, str]) -> Table:
    return {word: sentence for words, sentence in rows for word in words.split()}


SELECTORS = _table(
    (
        (
            "items item_count items_min min_items max_items messages message_count size count "
            "length tokens bytes larger_than smaller_than"
        ),
        (
            "a selector cannot ask how long a thread is. Nearest: `archive: {items: 50}`, which "
            "copies a thread once it has 50 items"
        ),
    ),
    (
        (
            "age min_age max_age older_than newer_than younger_than created created_at "
            "created_before created_after active active_at last_active last_active_at "
            "last_activity inactive inactive_for idle idle_for after before since until"
        ),
        (
            "a selector cannot ask for an age or a date. Nearest: `after` in the policy's "
            "`archive`, `soft_delete` or `delete`, counted as `age_from` says"
        ),
    ),
    (
        "id ids thread threads conversation conversations name names",
        (
            "a selector cannot name single threads. Nearest: `metadata` that only they carry, such "
            "as {plan: short}, in a policy of its own; to keep threads, `janitor hold add --id`"
        ),
    ),
    (
        "state status archived soft_deleted deleted",
        (
            "a selector cannot ask for a thread's state. Nearest: the stages, which follow each "
            "other by themselves"
        ),
    ),
    ("or one_of any_of either", "nearest: `any: [{...}, {...}]`, at least one of which must match"),
    (
        "not none exclude excluding unless",
        "nearest: `except`, beside `match`; or {exists: false} for a metadata key",
    ),
    (
        "and all all_of both",
        "every clause of a selector must hold: write them side by side",
    ),
    (
        "any",
        (
            "`any` belongs directly in `match` or `except`, not within a list: write one selector "
            "for each combination"
        ),
    ),
    (
        "user_id userId users owner",
        "nearest: `user` for the imported field of that name, or `metadata: {user_id: ...}`",
    ),
)

POLICIES = _table(
    (
        (
            "after older_than age max_age ttl retention lifetime expire expires expire_after "
            "expires_after expires_at delete_after delete_at life"
        ),
        "nearest: `delete: {after: 30d}`, the age at which its threads are deleted",
    ),
    (
        "items min_items messages size",
        "nearest: `archive: {items: 50}`, which copies a thread once it has 50 items",
    ),
    (
        "priority order weight overrides override",
        (
            "the order of policies never matters: anything that keeps a thread wins, otherwise the "
            "latest date. Nearest: `except`, which takes threads out of a policy"
        ),
    ),
    ("unless exclude excluding not", "nearest: `except`"),
    ("if when where filter selector conditions condition", "nearest: `match`"),
    ("enabled disabled dry_run", "nearest: `mode: audit`, which only reports"),
    (
        "keep_until until",
        "nearest: `keep_until` of an imported thread, or `janitor hold add --until`",
    ),
)

STAGES = _table(
    ("older_than age min_age max_age ttl days before idle", "nearest: `after: 30d`"),
    (
        "min_items messages size match if when where only",
        (
            "a stage applies to all threads of its policy. Nearest: a second policy with its own "
            "`match`; `archive: {items: 50}` copies a thread once it has 50 items"
        ),
    ),
)

LATEST = "only a copy can be made `at: earliest`; a removal waits for every policy that names it"

TESTS = _table(
    ("regex regexp pattern prefix suffix startswith starts_with contains like", "nearest: `glob`"),
    ("in any any_of one_of or values", "nearest: a list of values, such as [trial, free]"),
    ("equals equal eq is value", "nearest: the value itself, without a mapping"),
    ("not ne neq not_in nin", "nearest: `except`, beside `match`"),
    (
        (
            "min max gt gte lt lte greater_than less_than above below older_than newer_than before "
            "after"
        ),
        (
            "metadata is text and has no order. Nearest: `glob`, or metadata that says it in a "
            "word, such as size: large"
        ),
    ),
    ("absent missing present", "nearest: {exists: true} or {exists: false}"),
)

REMOVALS = frozenset({"soft_delete", "delete", "trim"})


def nearest(path: DocumentPath, known: Iterable[str]) -> str | None:
    """What to write instead of an unknown key of a policy; `None` if nothing is near.

    `known` are the keys that are allowed at that path.
    """
    key = str(path[-1])
    match path[:-1]:
        case ("policies", int()):
            return POLICIES.get(key)
        case ("policies", int(), "archive"):
            return STAGES.get(key)
        case ("policies", int(), stage) if stage in REMOVALS:
            return LATEST if key == "at" else STAGES.get(key)
        case ("policies", int(), "match" | "except", *_, "metadata", _):
            return TESTS.get(key)
        case ("policies", int(), "match" | "except", *_):
            return SELECTORS.get(key) or (None if get_close_matches(key, known) else _under(key))
        case _:
            return None


def _under(key: str) -> str:
    return f"metadata keys belong under `metadata`: write metadata: {{{key}: ...}}"
