"""What the supervisor started it keeps alive, and nothing of it survives the supervisor."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import httpx
import pytest

from backend import engine
from backend.commands.workers import living_workers
from backend.errors import AskNextError
from backend.settings import Settings
from backend.supervisor import Child, Supervisor, session_members

SLEEPER = "import time; time.sleep(600)"
# A fork in a process group of its own, as RQ's work-horse is; its process id goes into a file.
FORKING = textwrap.dedent(
    """
    import os, pathlib, sys, time
    from backend.commands.leash import leash_forks
    leash_forks()
    if os.fork() == 0:
        os.setpgrp()
        pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
    time.sleep(600)
    """
)


def wait_for(condition, limit=30.0):
    until = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.05)
    return value


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def child(tmp_path, name, code, *arguments, **options):
    return Child(
        name,
        (sys.executable, "-c", code, *arguments),
        tmp_path / f"{name}.log",
        dict(os.environ),
        **options,
    )


@pytest.fixture
def told():
    return []


@pytest.fixture
def supervise(told):
    started = []

    def make(*children):
        supervisor = Supervisor(children, lambda level, text: told.append((level, text)))
        started.append(supervisor)
        supervisor.start()
        return supervisor

    yield make
    for supervisor in started:
        supervisor.stop()


def step_until(supervisor, condition):
    def tried():
        supervisor.step()
        return condition()

    return wait_for(tried)


class TestChildren:
    def test_a_killed_child_is_started_again(self, tmp_path, supervise, told):
        supervisor = supervise(child(tmp_path, "one", SLEEPER))
        first = supervisor.pid("one")
        os.kill(first, signal.SIGKILL)
        step_until(supervisor, lambda: supervisor.pid("one") not in (None, first))
        assert ("warning", "one ended (killed by SIGKILL); it is started again in 0.5 s.") in told

    def test_one_that_dies_again_and_again_waits_longer_each_time(self, tmp_path, supervise, told):
        supervisor = supervise(child(tmp_path, "one", "raise SystemExit(3)"))
        step_until(supervisor, lambda: sum(level == "warning" for level, _ in told) == 3)
        waits = [text.split()[-2] for level, text in told if level == "warning"]
        assert waits == ["0.5", "1.0", "2.0"]

    def test_what_a_dead_child_had_forked_ends_before_it_is_started_again(
        self, tmp_path, supervise
    ):
        note = tmp_path / "fork"
        supervisor = supervise(child(tmp_path, "one", FORKING, str(note)))
        fork = int(wait_for(lambda: note.exists() and note.read_text()))
        os.kill(supervisor.pid("one"), signal.SIGKILL)
        step_until(supervisor, lambda: supervisor.pid("one") is None)
        assert not is_alive(fork)

    def test_children_end_by_descending_stage(self, tmp_path, supervise):
        code = textwrap.dedent(
            """
            import signal, sys, time, pathlib
            log = pathlib.Path(sys.argv[1])
            def end(*_):
                with log.open("a") as stream: stream.write(sys.argv[2] + " ")
                sys.exit()
            signal.signal(signal.SIGTERM, end)
            pathlib.Path(sys.argv[3]).touch()
            time.sleep(600)
            """
        )
        order, ready = tmp_path / "order", [tmp_path / "ready0", tmp_path / "ready1"]
        supervisor = supervise(
            *(
                child(
                    tmp_path,
                    name,
                    code,
                    str(order),
                    name,
                    str(ready[stage]),
                    stage=stage,
                    ready=ready[stage].exists,
                )
                for stage, name in enumerate(("engine", "worker"))
            )
        )
        supervisor.stop()
        assert order.read_text().split() == ["worker", "engine"]

    def test_one_that_ignores_the_request_is_killed_after_its_grace(self, tmp_path, supervise):
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"  # noqa: E501
        log = tmp_path / "one.log"
        supervisor = supervise(
            child(
                tmp_path,
                "one",
                code,
                grace_seconds=0.3,
                ready=lambda: log.exists() and "deaf" in log.read_text(),
            )
        )
        pid = supervisor.pid("one")
        supervisor.stop()
        assert not is_alive(pid)

    def test_one_that_ends_before_it_is_ready_is_an_error_with_its_log(self, tmp_path, supervise):
        with pytest.raises(AskNextError, match="the port is taken"):
            supervise(
                child(
                    tmp_path,
                    "one",
                    "print('the port is taken'); raise SystemExit(1)",
                    ready=lambda: False,
                )
            )

    def test_warnings_and_errors_of_a_child_come_to_the_console(self, tmp_path, supervise, told):
        code = (
            "print('2026-01-01 00:00:00,000 INFO backend.jobs: all is well')\n"
            "print('2026-01-01 00:00:00,000 WARNING backend.jobs: Label Studio is away')\n"
            "import time; time.sleep(600)"
        )
        supervisor = supervise(
            Child(
                "one",
                (sys.executable, "-u", "-c", code),
                tmp_path / "one.log",
                dict(os.environ),
            )
        )
        step_until(supervisor, lambda: told)
        assert told == [("warning", "one: Label Studio is away")]


class TestUp:
    """`asknext up` itself, with its engine, server and workers."""

    @pytest.fixture
    def settings(self, tmp_path, monkeypatch):
        for name in ("REDIS_URL", "DATABASE_URL"):
            monkeypatch.delenv(name, raising=False)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        return Settings.load(data_dir=tmp_path / "data", port=port)

    @pytest.fixture
    def up(self, settings, tmp_path):
        output = (tmp_path / "up.log").open("w+")
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "backend.cli", "up"),
                *("--data-dir", str(settings.data_dir), "--port", str(settings.port)),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def ready():
            output.seek(0)
            text = output.read()
            assert process.poll() is None, text
            return len(living_workers(settings)) == 2

        try:
            wait_for(ready, 90)
            yield process
        finally:
            pids = descendants(process.pid)
            process.kill()
            process.wait()
            for pid in pids:
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)

    def test_it_restarts_what_was_killed_and_ends_everything_when_told(self, settings, up):
        worker = living_workers(settings)[0]["pid"]
        os.kill(worker, signal.SIGKILL)
        wait_for(
            lambda: (
                len(alive := living_workers(settings)) == 2
                and worker not in [row["pid"] for row in alive]
            ),
            60,
        )
        connection = engine.connect(settings)
        server = connection.info("server")["process_id"]
        connection.close()
        os.kill(server, signal.SIGKILL)
        wait_for(lambda: not is_alive(server))
        wait_for(lambda: engine.answers(settings))
        # The workers find the new engine by themselves.
        wait_for(lambda: len(living_workers(settings)) == 2, 90)

        pids = descendants(up.pid)
        assert len(pids) >= 4
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0
        assert [pid for pid in pids if is_alive(pid)] == []

    def test_nothing_survives_its_kill_and_it_starts_again(self, settings, up, tmp_path):
        credentials = settings.credentials()
        answer = httpx.get(
            f"http://127.0.0.1:{settings.port}/health",
            auth=(credentials.user, credentials.password),
        )
        assert answer.status_code == 200
        second = subprocess.run(
            [
                *(sys.executable, "-m", "backend.cli", "up"),
                *("--data-dir", str(settings.data_dir), "--port", str(settings.port)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 1
        assert "already runs" in second.stderr

        pids = descendants(up.pid)
        assert len(pids) >= 4
        up.kill()
        up.wait()
        wait_for(lambda: not any(is_alive(pid) for pid in pids))
        assert not engine.answers(settings)
        secret = credentials.password
        logs = list((settings.data_dir / "logs").glob("*.log"))
        assert len(logs) == 4
        assert not any(secret in log.read_text() for log in [*logs, tmp_path / "up.log"])


def descendants(pid):
    """Every process below `pid`."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stream:
                    parents[int(name)] = int(stream.read().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = set()
    while True:
        more = {child for child, parent in parents.items() if parent in found | {pid}} - found
        if not more:
            return found
        found |= more


def test_a_session_lists_its_members():
    assert os.getpid() in session_members(os.getsid(0))
