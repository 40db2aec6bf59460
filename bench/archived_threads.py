"""B6: a sweep that archives, verifies and deletes, beside a script of twenty lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

from comparison import Measure, Pair, Size
from openai import OpenAI
from server import BUSY, Server, serving
from sweeps import ARCHIVE, prepare, sweep

# Latency, target, threads of a sweep, threads of the script and threads at once.
CASES = ((0.02, 8.0, 200, 20, 32), (0.1, 30.0, 480, 8, 160))
ITEMS = 20


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """Threads a second, ours ÷ the script's, and how busy the server was with ours."""
    names = count()
    for latency, target, swept, scripted, at_once in CASES:
        number, few = size.rows(swept), size.rows(scripted)
        ratios, busy = list[Pair](), list[float]()
        with serving(latency) as server:
            for pair in range(size.pairs):
                place = directory / f"b6_{next(names)}"
                due = server.conversations(number, ITEMS)
                config = prepare(place, server, due, at_once=at_once, stages=ARCHIVE)
                ids = write_ids(place / "ids.csv", server.conversations(few, ITEMS))
                acts = (partial(sweep, config), partial(script, server, ids, place / "copies"))
                spent = dict[int, tuple[float, float]]()
                for side in (0, 1) if pair % 2 else (1, 0):
                    spent[side] = server.timed(acts[side])
                ratios.append(Pair.of(number / spent[0][0], few / spent[1][0]))
                busy.append(spent[0][1])
        told = f"{latency * 1000:.0f} ms, {at_once} at once"
        yield Measure("B6", f"archive and delete, {told}", target, tuple(ratios), unit="threads/s")
        yield Measure("B6", f"the server's core, {told}", BUSY, tuple(busy), at_most=True)


def write_ids(file: Path, ids: list[str]) -> Path:
    """A CSV file of ids."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([one] for one in ("id", *ids))
    return file


def script(server: Server, ids: Path, copies: Path) -> None:
    """What one writes in an afternoon: one thread after another, with the SDK's usual client."""
    copies.mkdir()
    with OpenAI(base_url=server.url, api_key=server.key) as client, ids.open() as rows:
        for row in csv.DictReader(rows):
            conversation = client.conversations.retrieve(row["id"])
            items = list(client.conversations.items.list(row["id"], order="asc", limit=100))
            content = [one.to_dict(mode="json") for one in (conversation, *items)]
            copy = copies / f"{row['id']}.json"
            copy.write_text(json.dumps(content), encoding="utf-8")
            if json.loads(copy.read_text(encoding="utf-8")) != content:
                raise SystemExit(f"{row['id']}: the copy is not what was read")
            client.conversations.delete(row["id"])
