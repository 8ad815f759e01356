"""A stopped server leaves no process behind, whatever its children do."""

import socket
import sys
import time
from pathlib import Path

import pytest

from demo.processes import (
    DemoError,
    ServerProcess,
    free_port,
    is_alive,
    is_port_free,
    process_members,
)

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
# A server whose children escape in the two ways that workers and their jobs do.
SERVER = f"""
import subprocess, sys, time
command = [sys.executable, "-c", {STUBBORN!r}]
subprocess.Popen(command, process_group=0)
subprocess.Popen(command, start_new_session=True)
print("started", flush=True)
time.sleep(600)
"""


def started(tmp_path: Path, code: str) -> ServerProcess:
    server = ServerProcess("The server", [sys.executable, "-c", code], tmp_path / "server.log")
    server.start()
    deadline = time.monotonic() + 30
    while "started" not in server.log_tail() and time.monotonic() < deadline:
        time.sleep(0.05)
    return server


def test_children_in_other_groups_and_sessions_end_with_the_server(tmp_path: Path) -> None:
    server = started(tmp_path, SERVER)
    assert server.pid is not None
    members = process_members(server.pid)
    assert len(members) == 3
    server.stop(grace_seconds=5)
    assert not any(is_alive(pid) for pid in members)
    assert not server.running


def test_orphans_of_a_crashed_server_end_too(tmp_path: Path) -> None:
    code = SERVER.replace("time.sleep(600)\n", "").replace(
        "subprocess.Popen(command, start_new_session=True)\n", ""
    )
    server = started(tmp_path, code)
    assert server.pid is not None
    deadline = time.monotonic() + 30
    while server.running and time.monotonic() < deadline:
        time.sleep(0.05)
    orphans = process_members(server.pid)
    assert any(is_alive(pid) for pid in orphans)
    server.stop()
    assert not any(is_alive(pid) for pid in orphans)


def test_a_server_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    server = started(tmp_path, f"print('started', flush=True)\n{STUBBORN}")
    pid = server.pid
    assert pid is not None
    server.stop(grace_seconds=0.2)
    assert not is_alive(pid)


def test_a_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    server = started(tmp_path, "print('started'); raise SystemExit('no such port')")
    deadline = time.monotonic() + 30
    while server.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "no such port" in str(server.failure("did not start"))
    server.stop()


def test_an_absent_program_is_said_with_its_mend(tmp_path: Path) -> None:
    server = ServerProcess("Label Studio", [str(tmp_path / "absent")], tmp_path / "server.log")
    with pytest.raises(DemoError, match="make setup"):
        server.start()


def test_a_taken_port_is_seen() -> None:
    port = free_port()
    assert is_port_free(port)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        assert not is_port_free(port)
