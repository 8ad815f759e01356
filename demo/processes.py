"""Server processes that the demo owns: each in a session of its own, ended with all it started."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

TERMINATE_SECONDS = 15.0
KILL_SECONDS = 5.0
POLL_SECONDS = 0.05
LOG_TAIL_LINES = 30


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do next."""


class ServerProcess:
    """One server with its log file; `stop` leaves no process of it behind.

    The command runs in a new session, so a Ctrl-C in the terminal reaches only the demo, which
    then stops its servers in order.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_file: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log_file = log_file
        self.environment = dict(environment) if environment is not None else None
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server, None before `start`."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether the server's first process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server; its output is appended to `log_file`.

        Raises:
            DemoError: the command cannot be run.
        """
        if self.running:
            raise DemoError(f"{self.name} runs already (process {self.pid}); stop it first.")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self._log = self.log_file.open("ab")
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.directory,
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            raise DemoError(
                f"{self.name} cannot be started with {self.command[0]}: {error}. "
                "Run `make setup setup-labelstudio` first."
            ) from error

    def stop(self, grace_seconds: float = TERMINATE_SECONDS) -> None:
        """End the server and whatever it started: SIGTERM, then SIGKILL to what is left.

        Members are found by session and by descent, because a worker may give its children a
        process group, or a session, of their own.
        """
        if self._process is None:
            return
        end_tree(self._process.pid, grace_seconds)
        self._process.wait(KILL_SECONDS)
        if self._log is not None:
            self._log.close()
        self._process = None

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """Return the last `lines` lines of the log."""
        try:
            text = self.log_file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no log yet)"
        return "\n".join(text.splitlines()[-lines:])

    def failure(self, what: str) -> DemoError:
        """Return an error that says what went wrong and shows the end of the log."""
        state = "is running" if self.running else "has ended"
        return DemoError(
            f"{self.name} {what} (the process {state}). The end of {self.log_file}:\n"
            f"{self.log_tail()}"
        )


def end_tree(leader: int, grace_seconds: float) -> None:
    """End a session's first process, then what is left of its session and of its descendants."""
    members = process_members(leader)
    if is_alive(leader):
        _signal(leader, signal.SIGTERM)
        _wait_for_end({leader}, grace_seconds)
        members |= process_members(leader)
        _signal(leader, signal.SIGKILL)
    _end_processes(members | session_members(leader))


def process_members(leader: int) -> set[int]:
    """Return the process ids of `leader`'s session and of all its descendants."""
    parents = _parent_of_each_process()
    members = {leader} | session_members(leader)
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in members}
        grown = not children <= members
        members |= children
    return members


def session_members(leader: int) -> set[int]:
    """Return the ids of the living processes of the session that `leader` started."""
    members = set()
    for pid in _parent_of_each_process():
        try:
            if os.getsid(pid) == leader:
                members.add(pid)
        except (ProcessLookupError, PermissionError):
            continue
    return members


def is_alive(pid: int) -> bool:
    """Return whether `pid` is a process that still runs; a zombie counts as ended."""
    status = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(status) and not status.startswith("Z")


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server could listen on `port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nothing listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _parent_of_each_process() -> dict[int, int]:
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    return {int(pid): int(parent) for pid, parent in (row.split() for row in listing.splitlines())}


def _end_processes(members: set[int]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        members = {pid for pid in members if is_alive(pid)}
        for pid in members:
            _signal(pid, number)
        _wait_for_end(members, KILL_SECONDS)


def _wait_for_end(members: set[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(is_alive(pid) for pid in members):
        time.sleep(POLL_SECONDS)


def _signal(pid: int, number: signal.Signals) -> None:
    # The process may have ended a moment ago.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
