"""What takes a process of its own: a crash in the middle, and bounded memory."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from archive_exports import KEY, archive_in, export, files, item, put
from peak import PEAK

WRITES = """
import asyncio, sys
from pathlib import Path
from archive_exports import archive_in, container, export, item, put

archive = archive_in(Path(sys.argv[1]))
print("opened", flush=True)
for number in range(1_000_000):
    put(archive, [*export(), *(item(f"new_{n}", str(number) * 40) for n in range(500))])
    print(number, flush=True)
"""

STREAMS = f"""{PEAK}
import asyncio, random, sys
from archive_exports import CREATED, KEY, NOW, archive_in, container, item

async def big():
    yield container()
    for number in range(SIZE // 2000):
        yield item(f"msg_{{number}}", random.randbytes(500).hex() + "x" * 1000)

async def main():
    archive = archive_in(Path(sys.argv[1]))
    copy = await archive.put(KEY, CREATED, small(), NOW)
    before = peak()
    copy = await archive.put(KEY, CREATED, big(), NOW)
    await archive.prove(copy)
    print(peak() - before, copy.items)

async def small():
    yield container()

SIZE = 200_000_000
asyncio.run(main())
"""


def started(program: str, root: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(root)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("lines", [1, 2, 5, 9])
def test_a_writer_killed_at_any_point_leaves_whole_objects_only(tmp_path: Path, lines: int) -> None:
    with started(WRITES, tmp_path) as writer:
        assert writer.stdout is not None
        for _ in range(lines):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        told = lines - 1 + len(writer.stdout.readlines())
    archive = archive_in(tmp_path)
    whole = files(tmp_path)
    assert len(whole) in {told, told + 1}
    for path in whole:
        assert list(archive.read(path))
    newest = put(archive, [*export(), *(item(f"new_{n}") for n in range(501))])
    assert asyncio.run(archive.remove_older(KEY, newest)).removed == len(whole)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_conversation(tmp_path: Path) -> None:
    with started(STREAMS, tmp_path) as writer:
        out, _ = writer.communicate()
    kibibytes, items = map(int, out.split())
    assert items == 100_000
    assert kibibytes <= 32 << 10
