"""Starts the chat application within milliseconds: imports it once, then forks for every run.

Reads the settings a line on stdin; answers with the process's id, then with its exit code. Only a
process that never tracked nor called anything is forked, so that each run is one from the start.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import NoReturn

import chat_application
import openai
from chat_scripts import CHATS
from chat_settings import Settings, parse

from janitor.tracking import delivery


def main() -> None:
    """Serve orders until stdin ends."""
    _heat()
    gc.freeze()
    for line in sys.stdin:
        if (process := os.fork()) == 0:
            _be(parse(line))
        _say(process)
        _, status = os.waitpid(process, 0)
        _say(os.waitstatus_to_exitcode(status))


def _heat() -> None:
    """What the SDK imports on first use."""
    client = openai.OpenAI(base_url="http://127.0.0.1/v1", api_key="k")
    for chat in CHATS.values():
        chat_application.Talk(Settings("", "", ""), None, 0, chat).call(client, chat.says[0])  # type: ignore[arg-type]


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _be(settings: Settings) -> NoReturn:
    """Be the application, and end as a program does."""
    code = 1
    try:
        os.environ["JANITOR_SPOOL"] = str(Path(settings.journal).with_name("spool"))
        chat_application.run(settings)
        delivery._at_exit()
        Path(f"{settings.journal}.transcript").write_text(
            "\n".join(settings.transcript), encoding="utf-8"
        )
        code = 0
    except BaseException:  # noqa: BLE001 - a child must not return into the server's loop
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
