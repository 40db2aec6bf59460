"""The configuration that `janitor init` writes: every default, each with a comment."""

import re
from dataclasses import dataclass
from pathlib import Path

from janitor.kinds import Kind


@dataclass(frozen=True, slots=True)
class DataLocation:
    """Where a configuration keeps its registry and its archive, as written in its keys."""

    registry: str
    archive: str


NEXT_TO_FILE = DataLocation("sqlite:///janitor.db", "file://archive")
VAR_HERE = DataLocation("sqlite:///var/janitor.db", "file://var/archive")
VAR_ABOVE = DataLocation("sqlite:///../var/janitor.db", "file://../var/archive")
SYSTEM = DataLocation("sqlite:////var/lib/janitor/janitor.db", "file:///var/lib/janitor/archive")


def data_location(config: Path, *, system: bool = False) -> DataLocation:
    """Where a new configuration at `config` should keep its data.

    A registry that is already next to it stays in use. Otherwise `var` is next to the directory
    `config`, or next to the file if its directory has another name.
    """
    if system:
        return SYSTEM
    if (config.parent / "janitor.db").exists():
        return NEXT_TO_FILE
    return VAR_ABOVE if config.absolute().parent.name == "config" else VAR_HERE


_TEMPLATE = """\
# janitor: how long to keep conversations, threads and sessions.
# `janitor validate` explains this file in sentences. Values marked `default` can be omitted.
# Durations: 90s 30m 24h 30d 2w 1y 3d12h, or P30D, PT1H.
version: 1

# The list of known threads, a SQLite file. Relative paths start at this file's directory;
# sqlite:////path is absolute. Another registry: postgresql+psycopg://user@host/database.
registry:
  url: "<registry>"
  # Which metadata keys to store: all, or a list. For keys in `hash`, only a keyed hash of the
  # value is stored; `match` and holds then find equal values only. `hash` needs a key, stored
  # apart from the registry: hash_key: {env: NAME}, {file: PATH} or {credential: NAME}.
  keys: all                        # default; or [plan, user_id]
  hash: []                         # default; for example [user_id]

projects:
  main:
    # Never write a secret into this file. Use {env: NAME}, {file: /run/secrets/key} or, under
    # systemd, {credential: NAME}; "" for a server without keys.
    api_key: {env: OPENAI_API_KEY}
    # default: OpenAI. Any compatible server works; http needs loopback or allow_http: true.
    # For Azure, replace base_url by azure: {endpoint: "https://...", api_version: "..."}
    base_url: https://api.openai.com/v1
    organization: null             # default
    project: null                  # default
    query: {}                      # default; added to every request
    headers: {}                    # default; added to every request, never a credential
    kinds: [<every kind>]   # default: all
    trust_reported: true           # default; false: ignore times that the application reports
    not_found: openai              # default; any_json: accept a 404 with any JSON object
    discover: false                # default; true: register what the server lists, once a day
    timeout: 20s                   # default; for one request
    concurrency: 32                # default; requests in flight at once
    # default: auto finds what the server allows. Deletes and writes start at 120 a minute, reads at
    # 500; each adds a fifth a minute. A 429 halves the rate, and at most half of a limit that the
    # server names is used.
    # Or a fixed rate: 5/s, 300/min, 1000/h; or unlimited, for your own server.
    rate: {delete: auto, read: auto, write: auto}
    allow_http: false              # default

# Copies made before anything is deleted. keep_for is how long to keep them after the deletion: a
# duration, or forever. It is required, here or in the policy, for every policy that archives.
archive:
  url: "<archive>"
  keep_for: 90d                    # for policies without their own

# How long the registry remembers that a thread was deleted. It stores no text.
tombstones: {keep_for: 400d}       # default

# audit (default): a sweep records and reports what it would do, and changes nothing.
# enforce: it acts.
mode: audit

# Ages since creation that apply to every policy. min: nothing happens before. max: the thread is
# deleted, unless a hold, `keep: forever` or `delete: never` protects it.
lifetime: {min: null, max: null}   # default: neither

holds: {release_grace: 7d}         # default; how long threads stay protected after a release

# Limits that stop a sweep until a person has looked. All are on by default, except max_threads.
limits:
  max_percent: 10                  # default; of a policy's threads, in one sweep; if twice its
                                   # normal turnover since the last sweep is more, that counts
  max_threads: null                # default; or a number of threads
  max_missing_percent: 20          # default; of calls answered "not found"
  max_errors: 10                   # default; consecutive failures
  clock_step: 6h                   # default; how wrong the clock may be
  max_duration: 6h                 # default; the next sweep continues a longer one

# When `janitor serve` sweeps: cron (minute hour day month weekday) in a time zone, or every: 1h
# instead of both. Each sweep starts with a random delay of up to jitter.
schedule: {cron: "17 3 * * *", timezone: UTC, jitter: 10m}   # default

# Where `janitor serve` answers /metrics, /healthz and /readyz.
service:
  listen: "127.0.0.1:9464"         # default; an address that is not loopback needs tokens
  hosts: []                        # default; host names that requests may use besides localhost
  tokens: {}                       # default; ops: {env: OPS_TOKEN, scope: operate}, or a list
  stop_timeout: 30s                # default; time for calls in flight to finish at shutdown

# Tables of your application, read before each sweep and by `janitor sync` (docs/sources.md):
sources: {}                        # default
#  chats:
#    project: main                  # default: the only one, or main
#    sql:
#      url: {env: APP_DATABASE_URL} # or an address without a password: sqlite:///app.db
#      query: >
#        SELECT conversation_id AS id, created_at, last_message_at AS last_active_at,
#        user_id AS "metadata.user_id", updated_at FROM chats WHERE updated_at > :watermark
#      watermark: updated_at        # a column of the query; null: each sync reads everything
#      overlap: 10m                 # default; longer than any transaction of the application
#      timeout: 60s                 # default; for one statement
#    on_vanish: keep                # default; or {expire_after: 30d}

# match selects threads; archive, soft_delete and delete say when; `keep: forever` means never.
# If several policies match a thread, anything that keeps it wins; otherwise the latest date wins.
policies:
  - name: everything-else
    default: true                  # applies only if no other policy matches
    age_from: last_activity        # default; or created
    archive: {after: 30d}
    delete: {after: 90d, items: first}   # first (default): delete items too; keep: fewer calls

# More examples; to use one, move it into the list:
#  - name: trial-chats
#    match: {metadata: {plan: trial}}   # also kind, project, user
#    beside_default: false         # default; true: a default applies to its threads as well
#    except: [{metadata: {pinned: "true"}}, {kind: thread}]   # any of them; match takes any: [...]
#    archive: {after: 7d, keep_for: 90d, at: latest}   # default; earliest: wait for no policy
#    soft_delete: {after: 20d, mark: registry}   # registry (default) | upstream
#    delete: {after: 30d}
#    keep_last: {count: 5, per: metadata.user_id}
#    limits: {max_percent: 40}
#    mode: audit                   # this policy only reports what it would do
#  - name: litigation
#    match: {metadata: {department: legal}}
#    keep: forever
""".replace("<every kind>", ", ".join(Kind))

_SOURCES = re.compile(r"^sources: \{\}.*\n(?:#.*\n)*", re.MULTILINE)


def starter(location: DataLocation = VAR_ABOVE, sources: str | None = None) -> str:
    """The starter configuration; a given stanza of sources replaces its empty `sources`."""
    text = _TEMPLATE.replace("<registry>", location.registry)
    text = text.replace("<archive>", location.archive)
    return text if sources is None else _SOURCES.sub(lambda _: sources, text, count=1)
