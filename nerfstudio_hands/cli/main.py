"""`ns-hands`: the commands that nerfstudio has no place for."""

from __future__ import annotations

import sys

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.environment import require_values
from nerfstudio_hands.program.faults import sentence_of
from nerfstudio_hands.program.interruption import exit_status, sigterm_interrupts


def main() -> None:
    """Runs a command; a fault of the user's is one sentence on the error stream and exit status 1. Ctrl-C and SIGTERM
    leave no file half written."""
    try:
        with sigterm_interrupts():
            _run(sys.argv[1:])
    except HandsError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if sentence := sentence_of(error):
            sys.exit(f"error: {sentence}")
        if error.filename is None:
            raise
        # What the system refuses a command in the middle of its work: a disk that fails, a folder locked.
        refused = HandsError(
            f"{error.filename}: expected a file or folder that can be used, found '{error.strerror}': see to it, or "
            "give another."
        )
        sys.exit(f"error: {refused}")
    except KeyboardInterrupt as stop:
        print("Stopped before the end.", file=sys.stderr)
        sys.exit(exit_status(stop))


def _run(words: list[str]) -> None:
    """Imports what the words need and no more: a batch is asked for its status again and again, also by scripts."""
    require_values(words)
    if words[:2] == ["batch", "status"] and not any(word.startswith("-") for word in words):
        from nerfstudio_hands.cli.batch_status import print_status

        print_status(words[2:])
    else:
        from nerfstudio_hands.cli.commands import run_command

        run_command()


if __name__ == "__main__":
    main()
