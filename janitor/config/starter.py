"""The configuration to begin with: every default spelled out, and said why."""

import re

STARTER = """\
# janitor: what is kept of conversations, threads and sessions, and for how long.
# `janitor validate` explains this file in sentences. Every value below a comment that says
# `default` may be left out. Durations: 90s 30m 24h 30d 2w 1y 3d12h, or P30D, PT1H.
version: 1

# The registry of what exists: one SQLite file beside this one (sqlite:////path is absolute).
registry:
  url: "sqlite:///janitor.db"
  # What is stored of metadata: all (default), or only the keys of a list. Of those in `hash` a
  # keyed hash stands for the value, which `match` and holds still find, by equality alone; that
  # needs hash_key: {env: NAME}, {file: PATH} or {credential: NAME}, kept apart from the registry.
  keys: all                        # default; or [plan, user_id]
  hash: []                         # default; for example [user_id]

projects:
  main:
    # Secrets never stand in this file: {env: NAME}, {file: /run/secrets/key} or, under systemd,
    # {credential: NAME}; "" for a server without keys.
    api_key: {env: OPENAI_API_KEY}
    # default: OpenAI. Any compatible server; http only on loopback, or with allow_http: true.
    # For Azure, instead of base_url: azure: {endpoint: "https://...", api_version: "..."}
    base_url: https://api.openai.com/v1
    organization: null             # default
    project: null                  # default
    query: {}                      # default; added to every request
    headers: {}                    # default; added to every request, never a credential
    kinds: [conversation, chatkit_thread, agent_session, thread]   # default: all
    trust_reported: true           # default; false: times that the application reports don't count
    not_found: openai              # default; any_json: a 404 of this server in any JSON counts, too
    discover: false                # default; true: registers what the server lists, once a day
    timeout: 20s                   # default, of one request
    concurrency: 32                # default; requests in flight at once
    # default: auto finds what the server lets through: 120 a minute at first, a tenth more each
    # minute, half on a 429, and at most half of a limit that the server names. Or 5/s, 300/min,
    # 1000/h; or unlimited, for a server of one's own.
    rate: {delete: auto, read: auto, write: auto}
    allow_http: false              # default

# Copies made before anything is deleted. keep_for counts from the deletion upstream; it has no
# default for a policy that archives: a duration, or forever.
archive:
  url: "file://archive"            # default, beside this file
  keep_for: 90d                    # what a policy falls back on

# How long the registry remembers, without any text, that something was deleted.
tombstones: {keep_for: 400d}       # default

# audit (default): a sweep records and says what it would do, and changes nothing.
# enforce: it acts.
mode: audit

# Since creation, under every policy: min, a floor for every stage; max, a ceiling, which is a
# promise to delete. Above it stand holds, `keep: forever` and `delete: never`.
lifetime: {min: null, max: null}   # default: neither

holds: {release_grace: 7d}         # default; how long a released hold still protects

# When a sweep stops and a person must look; all on by default.
limits:
  max_percent: 10                  # default; of a policy's threads, in one sweep
  max_threads: null                # default; absolute, if wanted
  max_missing_percent: 20          # default; of calls answered "not found"
  max_errors: 10                   # default; failures in a row
  clock_step: 6h                   # default; how far the clock may be off before nothing is done
  max_duration: 6h                 # default; a longer sweep goes on at the next one

# When `janitor serve` sweeps: cron (minute hour day month weekday) in a time zone, or, instead of
# both, every: 1h. Each sweep begins up to jitter later.
schedule: {cron: "17 3 * * *", timezone: UTC, jitter: 10m}   # default

# Where `janitor serve` answers /metrics, /healthz and /readyz.
service:
  listen: "127.0.0.1:9464"         # default; an address that is not loopback needs tokens
  hosts: []                        # default; names that requests may use beside localhost
  tokens: {}                       # default; ops: {env: OPS_TOKEN, scope: operate}, two in a list
  stop_timeout: 30s                # default; so long may calls in flight take at the end

# The application's own tables, read before each sweep and by `janitor sync` (docs/sources.md):
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
#      timeout: 60s                 # default, of one statement
#    on_vanish: keep                # default; or {expire_after: 30d}

# match says which threads, archive, soft_delete and delete say when, `keep: forever` says never.
# Where several policies match, the latest date wins, and whatever says keep wins over all.
policies:
  - name: everything-else
    default: true                  # speaks only where no other policy matches
    age_from: last_activity        # default; or created
    archive: {after: 30d}
    delete: {after: 90d, items: first}   # first (default): items go too; keep: fewer calls

# More, to be moved up into the list:
#  - name: trial-chats
#    match: {metadata: {plan: trial}}
#    except: {metadata: {pinned: "true"}}
#    archive: {after: 7d, keep_for: 90d}
#    soft_delete: {after: 20d, mark: registry}   # registry (default) | upstream
#    delete: {after: 30d}
#    keep_last: {count: 5, per: metadata.user_id}
#    limits: {max_percent: 40}
#    mode: audit                   # this policy only says what it would do
#  - name: litigation
#    match: {metadata: {department: legal}}
#    keep: forever
"""

_SOURCES = re.compile(r"^sources: \{\}.*\n(?:#.*\n)*", re.MULTILINE)


def with_sources(stanza: str) -> str:
    """The starter with a `sources` stanza in the place of its empty one."""
    return _SOURCES.sub(lambda _: stanza, STARTER, count=1)
