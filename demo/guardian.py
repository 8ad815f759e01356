"""A small process that ends the demo's servers should the demo itself be killed outright.

It waits for the end of its standard input, which the operating system closes with the demo. Each
line of it is the process id of a server to end then.
"""

import signal
import subprocess
import sys
from pathlib import Path

from demo.processes import end_tree

ROOT = Path(__file__).resolve().parent.parent
GRACE_SECONDS = 20.0


class Guardian:
    """Start the guarding process; `close` lets it go once the servers have been stopped."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "demo.guardian"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, pid: int | None) -> None:
        """Have the server `pid` ended with everything below it when this process is gone."""
        if self._process.stdin is not None and pid is not None:
            self._process.stdin.write(f"{pid}\n".encode())
            self._process.stdin.flush()

    def close(self) -> None:
        """End the guarding; servers that still run are ended."""
        self._process.communicate()


def guard() -> None:
    """Wait until standard input ends, then end every server that was named on it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    servers = [int(line) for line in sys.stdin]
    for pid in reversed(servers):
        end_tree(pid, GRACE_SECONDS)


if __name__ == "__main__":
    guard()
