"""The command `janitor`, and `python -m janitor`."""

import sys


def main() -> None:
    """Run the command line. If it cannot be imported, explain why, where that is known."""
    try:
        from janitor.cli import main as command  # noqa: PLC0415 - only here can it be explained

        command()
    except ImportError as error:
        from janitor.distribution import explain_damage  # noqa: PLC0415 - only then

        if (cause := explain_damage()) is None:
            raise
        sys.exit(_complain(f"janitor cannot be imported ({error}): {cause}"))


def _complain(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 2


if __name__ == "__main__":
    main()
