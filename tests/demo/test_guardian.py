"""Servers end even when the demo is killed outright."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from demo.guardian import ROOT, Guardian
from demo.processes import ServerProcess, is_alive, process_members
from tests.demo.test_processes import SERVER, started

OWNER = """
import sys, time
from pathlib import Path
from demo.guardian import Guardian
from tests.demo.test_processes import SERVER, started

guardian = Guardian()
server = started(Path(sys.argv[1]), SERVER)
guardian.watch(server.pid)
print(server.pid, flush=True)
time.sleep(600)
"""


def wait_until_ended(processes: set[int]) -> None:
    deadline = time.monotonic() + 60
    while any(is_alive(pid) for pid in processes) and time.monotonic() < deadline:
        time.sleep(0.1)


def test_servers_of_a_killed_owner_end_with_all_their_children(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    server = int(owner.stdout.readline())
    processes = process_members(owner.pid)
    # The owner, its guardian, the server and its two children.
    assert len(processes) == 5
    assert server in processes
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    wait_until_ended(processes)
    assert not [pid for pid in processes if is_alive(pid)]


def test_a_guardian_that_is_let_go_after_the_servers_have_stopped_ends(tmp_path: Path) -> None:
    guardian = Guardian()
    server: ServerProcess = started(tmp_path, SERVER)
    guardian.watch(server.pid)
    server.stop(grace_seconds=5)
    guardian.close()
    assert guardian._process.returncode == 0
