"""Keeps the processes of `asknext up` alive, and ends every one of them with it.

Each child leads a session of its own, so that a Ctrl-C in the terminal reaches the supervisor
alone, which then ends its children in order; what a child forked is found by its session and ended
with it. Should the supervisor itself be killed, the leash on every child kills them (`leash`).
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Self

from backend.commands.leash import leashed
from backend.errors import AskNextError

POLL_SECONDS = 0.1
START_SECONDS = 90.0
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
# For `check`: what died so often within seconds will not live.
MOST_QUICK_DEATHS = 3
# A child that lived this long was well: its next restart is quick again.
WELL_SECONDS = 60.0
KILL_SECONDS = 5.0
LARGEST_LOG_BYTES = 20 * 1024 * 1024
LOG_TAIL_LINES = 12
IMPORTANT = re.compile(r" (WARNING|ERROR|CRITICAL) \S+: (?P<text>.*)")

Tell = Callable[[str, str], None]


@dataclass(frozen=True)
class Child:
    """A process to keep alive.

    Children start by ascending `stage`, each stage once `ready` of the one before is true, and end
    by descending stage. `grace_seconds` is how long one has to end itself before it is killed.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str]
    stage: int = 0
    ready: Callable[[], bool] | None = None
    grace_seconds: float = 10.0


@dataclass
class _Running:
    child: Child
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    quick_deaths: int = 0
    log_read_to: int = 0
    partial: bytes = field(default=b"", repr=False)


class Supervisor:
    """Starts children, restarts those that die (waiting longer each time), and ends all.

    Use it as a context manager, from the main thread: the leash holds for as long as the thread
    that started a child lives.
    `tell` is called with a level (`info`, `warning`, `error`) and a line for the console.
    """

    def __init__(self, children: Sequence[Child], tell: Tell) -> None:
        self._running = [_Running(child) for child in sorted(children, key=lambda c: c.stage)]
        self._tell = tell
        self._asked_to_stop = 0
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """From here on SIGINT, SIGTERM and SIGHUP ask for the end instead of ending the process."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def pid(self, name: str) -> int | None:
        """The process id of a child; None while it is not running."""
        for running in self._running:
            if running.child.name == name and running.process is not None:
                return running.process.pid
        return None

    def start(self) -> None:
        """Start every child, stage by stage.

        Raises:
            AskNextError: one ended, or was not ready in time; its log's end is in the message.
        """
        for stage in sorted({running.child.stage for running in self._running}):
            members = [running for running in self._running if running.child.stage == stage]
            for running in members:
                self._spawn(running)
            for running in members:
                self._await_ready(running)
                if self._asked_to_stop:
                    return

    def run(self) -> None:
        """Keep the children alive until `ask_to_stop` is called or a signal asks for the end."""
        while not self._asked_to_stop:
            self.step()
            time.sleep(POLL_SECONDS)

    def ask_to_stop(self) -> None:
        """End `run` soon; asked for twice, `stop` waits for nobody."""
        self._asked_to_stop += 1

    def check(self) -> None:
        """Give up where a child does not get up again.

        Raises:
            AskNextError: one died several times in a row; its log's end is in the message.
        """
        for running in self._running:
            if running.quick_deaths >= MOST_QUICK_DEATHS:
                child = running.child
                raise AskNextError(
                    f"{child.name} ends again and again; the end of its log {child.log}:\n"
                    f"{_tail(child.log)}"
                )

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether `ask_to_stop` was called or a signal asked for the end."""
        return self._asked_to_stop > 0

    def step(self) -> None:
        """Look at every child once: pass on what it logged, restart it where it died."""
        now = time.monotonic()
        for running in self._running:
            self._read_log(running)
            process = running.process
            if process is not None and process.poll() is not None:
                self._bury(running, now)
            if running.process is None and now >= running.restart_at:
                self._spawn(running)
                self._tell("info", f"{running.child.name} was started again.")

    def stop(self) -> None:
        """End every child, the last stage first; what does not end in its grace is killed."""
        asked = max(self._asked_to_stop, 1)
        for stage in sorted({running.child.stage for running in self._running}, reverse=True):
            members = [r for r in self._running if r.child.stage == stage and r.process]
            self._end(members, hurry=lambda: self._asked_to_stop > asked)

    # ---------------------------------------------------------------- one child

    def _spawn(self, running: _Running) -> None:
        child = running.child
        child.log.parent.mkdir(parents=True, exist_ok=True)
        if child.log.exists() and child.log.stat().st_size > LARGEST_LOG_BYTES:
            child.log.replace(child.log.with_suffix(".old.log"))
        descriptor = os.open(child.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as log:
            running.log_read_to = log.tell()
            running.partial = b""
            running.process = subprocess.Popen(
                leashed(child.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(child.environment),
                start_new_session=True,
            )
        running.started_at = time.monotonic()

    def _await_ready(self, running: _Running) -> None:
        child, process = running.child, running.process
        until = time.monotonic() + START_SECONDS
        while child.ready is not None and process is not None and not child.ready():
            if self._asked_to_stop:
                return
            if process.poll() is not None or time.monotonic() > until:
                what = "ended" if process.poll() is not None else "was not ready in time"
                raise AskNextError(
                    f"{child.name} {what}; the end of its log {child.log}:\n{_tail(child.log)}"
                )
            time.sleep(POLL_SECONDS)

    def _bury(self, running: _Running, now: float) -> None:
        process = running.process
        assert process is not None
        kill_session(process.pid)
        self._read_log(running)
        running.process = None
        lived = now - running.started_at
        running.quick_deaths = 1 if lived > WELL_SECONDS else running.quick_deaths + 1
        wait = min(FIRST_WAIT_SECONDS * 2.0 ** (running.quick_deaths - 1), LONGEST_WAIT_SECONDS)
        running.restart_at = now + wait
        self._tell(
            "warning",
            f"{running.child.name} ended ({_how(process.returncode)}); "
            f"it is started again in {wait:.1f} s.",
        )

    def _end(self, members: Sequence[_Running], hurry: Callable[[], bool]) -> None:
        for running in members:
            if running.process is not None and running.process.poll() is None:
                running.process.terminate()
        started = time.monotonic()
        for running in members:
            process = running.process
            assert process is not None
            while (
                process.poll() is None
                and not hurry()
                and time.monotonic() - started < running.child.grace_seconds
            ):
                time.sleep(POLL_SECONDS)
            if process.poll() is None:
                self._tell("info", f"{running.child.name} did not end by itself; it is killed.")
            kill_session(process.pid)
            process.wait(KILL_SECONDS)
            self._read_log(running)
            running.process = None

    def _read_log(self, running: _Running) -> None:
        """Pass warnings and errors from a child's log on to the console."""
        try:
            with running.child.log.open("rb") as stream:
                stream.seek(running.log_read_to)
                fresh = stream.read()
        except FileNotFoundError:
            return
        running.log_read_to += len(fresh)
        *lines, running.partial = (running.partial + fresh).split(b"\n")
        for line in lines:
            found = IMPORTANT.search(line.decode(errors="replace"))
            if found:
                level = "warning" if found.group(1) == "WARNING" else "error"
                self._tell(level, f"{running.child.name}: {found.group('text')}")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_stop += 1


def kill_session(leader: int) -> None:
    """Kill every process of the session that `leader` led, whatever groups they are in."""
    until = time.monotonic() + KILL_SECONDS
    while (members := session_members(leader)) and time.monotonic() < until:
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
        if members == {leader}:
            return  # the caller reaps it


def session_members(leader: int) -> set[int]:
    """The processes of the session that `leader` led or leads."""
    if sys.platform == "linux":
        candidates = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    else:
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True
        )
        candidates = [int(word) for word in listed.stdout.split()]
    found = set()
    for pid in candidates:
        try:
            if os.getsid(pid) == leader:
                found.add(pid)
        except (ProcessLookupError, PermissionError):
            continue
    return found


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _tail(path: Path) -> str:
    if not path.exists():
        return "(no log)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
