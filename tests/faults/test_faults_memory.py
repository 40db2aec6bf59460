"""Answers that are large in memory, many at once: the process stays small, and each is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from heavy_server import ITEMS, heavy_server
from peak import PEAK

MOST = 512
"""MiB that the process may ever hold."""

COPIES = f"""{PEAK}
import asyncio, json, sys
from datetime import UTC, datetime
from pathlib import Path
from janitor.archive import Archive
from janitor.drivers import Endpoint
from janitor.drivers.connect import connect
from janitor.errors import JanitorError
from janitor.model import Key, Kind

async def main(url, root, ids):
    endpoint = Endpoint("main", "sk", base_url=url, timeout=600.0)
    archive, told = Archive.open(root), {{}}
    async with connect(endpoint, concurrency=32) as drivers:
        driver = drivers[Kind.CONVERSATION]
        async def copy(id):
            try:
                key, now = Key("main", Kind.CONVERSATION, id), datetime.now(UTC)
                told[id] = (await archive.put(key, None, driver.export(id), now)).items
            except JanitorError as error:
                told[id] = f"{{type(error).__name__}}: {{error}}"
        await asyncio.gather(*map(copy, ids))
    print(json.dumps({{"told": told, "peak": peak() >> 10}}))

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
"""


def test_many_large_answers_at_once_leave_the_process_small(tmp_path: Path) -> None:
    """A few kilobytes of each bomb, and texts as long as the API takes them."""
    kinds = {"usual": 1, "text": 2, "emoji": 2, "lists": 3, "huge": 1, "bomb": 4, "zeros": 2}
    ids = [f"{kind}-{number}" for kind, count in kinds.items() for number in range(count)]
    with heavy_server() as url:
        command = [sys.executable, "-c", COPIES, url, tmp_path.as_uri(), *ids]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    for one in ids:
        if one.split("-")[0] in {"huge", "bomb", "zeros"}:
            refused = f"TooLargeError: conversation {one} in project main: "
            assert found["told"][one].startswith(refused)
        else:
            assert found["told"][one] == ITEMS
    assert found["peak"] < MOST
