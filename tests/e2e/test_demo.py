"""The whole demo as its user runs it: start, label, end with a signal, start again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.datasets import news, photos
from demo.labelstudio_server import ROOT
from demo.labelstudio_session import LabelStudioSession
from demo.processes import free_port, is_alive, is_port_free, process_members

pytestmark = pytest.mark.timeout(900)

ANNOTATIONS = 3
DONE_SECONDS = 400.0


class DemoRun:
    """A demo in a folder of its own; what it prints goes to a log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "demo-of-this-test"
        self.report = folder / "report.json"
        self.log = folder / "demo.log"
        self.port_base = adjacent_free_ports()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "demo", "--report", str(self.report)]
        command += ["--port-base", str(self.port_base), "--data-dir", str(self.folder), *arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )

    def wait_for_report(self) -> dict[str, Any]:
        assert self.process is not None
        deadline = time.monotonic() + DONE_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            if self.report.exists():
                report: dict[str, Any] = json.loads(self.report.read_text())
                if report["annotated_done"]:
                    return report
            time.sleep(0.5)
        raise AssertionError(f"annotated_done never came:\n{self.log.read_text()}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(120)

    def processes(self) -> set[int]:
        """The ids of the demo and of everything that it has started, directly or not."""
        assert self.process is not None
        return process_members(self.process.pid)

    def label_studio_process(self) -> int:
        """The id of the Label Studio that listens on this demo's port."""
        command = ["pgrep", "-f", "--", f"label-studio start .*--port {self.port_base}$"]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def named_processes(self, pattern: str) -> list[int]:
        """The ids of processes whose command names the demo's folder and matches `pattern`."""
        found = subprocess.run(
            ["pgrep", "-f", "--", f"{pattern}.*{self.folder}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(pid) for pid in found.stdout.split()]


def adjacent_free_ports() -> int:
    while True:
        port = free_port()
        if port < 65535 and is_port_free(port + 1):
            return port


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[DemoRun]:
    run = DemoRun(tmp_path)
    yield run
    if run.process is not None and run.process.poll() is None:
        run.end()


def test_the_demo_labels_ends_without_a_trace_and_resumes(demo: DemoRun) -> None:
    demo.start("--annotate", str(ANNOTATIONS))
    report = demo.wait_for_report()
    assert [project["kind"] for project in report["projects"]] == ["text", "image"]
    assert [project["labelled"] for project in report["projects"]] == [ANNOTATIONS] * 2
    assert report["label_studio_url"] == f"http://127.0.0.1:{demo.port_base}"
    assert report["asknext_user"]
    assert report["asknext_password"]
    processes = demo.processes()
    # The demo, Label Studio, `asknext up`, its HTTP server, its Redis-protocol server, 2 workers.
    assert len(processes) >= 7
    assert demo.end(signal.SIGINT) == 0
    assert_nothing_is_left(demo, processes)

    demo.report.unlink()
    demo.start("--annotate", "1")
    again = demo.wait_for_report()
    for field in ("email", "password", "asknext_user", "asknext_password"):
        assert again[field] == report[field]
    assert [project["id"] for project in again["projects"]] == [
        project["id"] for project in report["projects"]
    ]
    assert [project["labelled"] for project in again["projects"]] == [ANNOTATIONS + 1] * 2
    token = (demo.folder / "label-studio-token").read_text()
    session = LabelStudioSession(again["label_studio_url"], token)
    assert session.request("GET", "/api/projects/")["count"] == 2
    for project, dataset in zip(again["projects"], (news(), photos()), strict=True):
        assert session.project(project["id"])["task_number"] == len(dataset.tasks)
    session.close()

    processes = demo.processes()
    label_studio = demo.label_studio_process()
    os.kill(label_studio, signal.SIGKILL)
    assert demo.process is not None
    assert demo.process.wait(120) == 1
    assert "Label Studio has ended unexpectedly" in demo.log.read_text()
    assert_nothing_is_left(demo, processes)


def test_it_can_end_by_itself_and_a_second_one_on_its_folder_is_refused(demo: DemoRun) -> None:
    demo.start("--exit")
    assert demo.process is not None
    deadline = time.monotonic() + 60
    while not demo.named_processes("asknext up") and time.monotonic() < deadline:
        time.sleep(0.05)
    second = DemoRun(demo.folder.parent)
    second.log = demo.folder.parent / "second.log"
    second.start()
    assert second.process is not None
    assert second.process.wait(60) == 1
    assert "already runs" in second.log.read_text()
    assert demo.process.wait(DONE_SECONDS) == 0, demo.log.read_text()
    report = json.loads(demo.report.read_text())
    assert [project["labelled"] for project in report["projects"]] == [0, 0]
    assert not report["annotated_done"]


def assert_nothing_is_left(demo: DemoRun, processes: set[int]) -> None:
    assert not [pid for pid in processes if is_alive(pid)]
    assert demo.named_processes("") == []
    assert is_port_free(demo.port_base)
    assert is_port_free(demo.port_base + 1)
