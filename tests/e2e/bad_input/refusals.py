"""What every refusal has in common, whatever was wrong."""

from __future__ import annotations

from world import Done, World


def assert_refused(world: World, done: Done, code: int, *says: str) -> None:
    """The exit code is right, stderr says so in lines, and the server was not changed."""
    assert done.code == code, f"{done.code}\n{done.out}\n{done.err}"
    assert "Traceback" not in done.err
    assert done.err.startswith(("janitor: ", "Usage: "))
    for said in says:
        assert said in done.err, done.err
    assert world.changes == []


def assert_good_run_follows(world: World, deleted: int) -> None:
    """What is due is then done, once."""
    done = world.run("sweep")
    assert done.code == 0, done.err
    assert list(world.states().values()).count("deleted") == deleted
    assert set(world.emulator.deletes.values()) <= {1}
