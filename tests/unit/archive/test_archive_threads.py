"""A cancellation waits for the thread that works."""

from __future__ import annotations

import asyncio
import threading

import pytest

from janitor.archive.local import run_in_thread


def test_a_cancellation_is_raised_only_once_the_thread_is_through() -> None:
    async def cancelled() -> None:
        loop = asyncio.get_running_loop()
        begun, release, through = asyncio.Event(), threading.Event(), threading.Event()

        def work() -> None:
            loop.call_soon_threadsafe(begun.set)
            release.wait(60)
            through.set()

        task = asyncio.create_task(run_in_thread(None, work))
        await begun.wait()
        for _ in range(3):  # an impatient caller cancels more than once
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        early = task.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not early
        assert through.is_set()

    asyncio.run(cancelled())


def test_what_the_thread_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run_in_thread(None, divmod, 1, 0))
