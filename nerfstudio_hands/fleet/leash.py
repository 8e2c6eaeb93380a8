"""Runs a command that does not outlive the process that asked for it, however that one ends.

Called by its path, so that nothing of the package is imported: `python -I -S leash.py PARENT COMMAND ...`. Linux kills
the command with its parent; elsewhere a command whose worker was killed runs on, and its result is left aside.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Of Linux' prctl(2); the setting outlives the exec that follows."""


def main(parent: str, *command: str) -> None:
    """Becomes the command.

    Args:
        parent: Process that asks for it.
        command: Its words.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):
            # It ended before it could be watched.
            sys.exit(128 + signal.SIGKILL)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
