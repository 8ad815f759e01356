"""Ties a process's life to its parent's, so that nothing survives a parent that was killed.

As a script (`python -I -S leash.py PARENT COMMAND…`) it leashes itself and becomes COMMAND: the tie
outlives exec, and no Python code has to run between a fork and an exec. Only the standard library
is used, so that it starts in a few milliseconds.
"""

import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.5


def die_with_parent(parent: int) -> None:
    """Have this process killed when `parent`, its parent's process id, ends.

    Linux does it by itself (prctl(2), PR_SET_PDEATHSIG), strictly when the *thread* that forked
    this process ends: start children from a thread that lives as long as they should. Elsewhere a
    thread looks for it, which ends at an exec.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch, args=(parent,), name="leash", daemon=True).start()
    if os.getppid() != parent:  # it ended before the tie was made
        os._exit(1)


def leash_forks() -> None:
    """Have every process that this one forks from now on killed when this one ends."""
    parent = os.getpid()
    os.register_at_fork(after_in_child=lambda: die_with_parent(parent))


def leashed(command: tuple[str, ...]) -> list[str]:
    """The command line that runs `command` as a child that dies with this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
