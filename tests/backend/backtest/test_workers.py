"""The command's runs are RQ jobs, on an engine and workers that end with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from backend import backtest_jobs, engine
from backend.backtest.kept import Kept
from backend.backtest.labelled_data import BacktestError
from backend.backtest.plan import Plan
from backend.backtest.runs import Run, make_runs
from backend.commands.backtest_workers import make_all
from backend.errors import AskNextError
from tests.backend.backtest.mixture import mixture

PLAN = Plan(batch=10, budget=30)
LONG = Plan(batch=1, budget=60)
PATIENCE_SECONDS = 60.0


@pytest.fixture
def kept(tmp_path):
    return Kept.of(tmp_path, mixture(n=120), PLAN)


def wait_until(condition):
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def under(folder):
    """The living processes whose command line or environment names a folder."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
                ended = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if str(folder).encode() in said and not ended:
                found.add(int(process.name))
    return found


def test_workers_make_what_one_process_makes_and_only_what_is_missing(kept, settings):
    runs = [Run(name, seed) for seed in range(3) for name in ("margin", "random")]
    rounds = []
    make_all(settings, kept, runs, 2, rounds.append)
    assert rounds == sorted(rounds)
    assert rounds[-1] == len(runs) * len(PLAN.points)
    for run, expected in zip(runs, make_runs(mixture(n=120), PLAN, runs), strict=True):
        found = kept.outcome(run)
        for name in ("test", "picked", "predictions"):
            assert (getattr(found, name) == getattr(expected, name)).all()
    make_all(settings, kept, runs, 2, lambda done: pytest.fail(f"{done} rounds were made again"))
    assert not under(settings.data_dir)


def test_a_strategy_that_fails_is_named(kept, settings):
    with pytest.raises(BacktestError, match=r"rare_properties.*Leave that strategy out"):
        make_all(settings, kept, [Run("rare_properties", 0)], 1, lambda _: None)


def test_workers_that_cannot_start_are_not_started_for_ever(kept, settings):
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / "credentials.json").write_text("damaged", encoding="utf-8")
    with pytest.raises(AskNextError, match=r"worker 1 ends again and again(.|\n)*credentials"):
        make_all(settings, kept, [Run("random", 0)], 1, lambda _: None)
    assert not under(settings.data_dir)


def test_an_installation_is_left_alone(kept, settings):
    """Its jobs are not the command's to end, and its workers have rounds to run."""
    served = engine.start(settings)
    try:
        with engine.connect(settings) as connection:
            queue = Queue(backtest_jobs.QUEUE, connection=connection, serializer=JSONSerializer)
            waiting = queue.enqueue("backend.backtest_jobs.backtest", "0123456789abcdef", 0)
            make_all(settings, kept, [Run("random", 0)], 2, lambda _: None)
            assert queue.job_ids == [waiting.id]
    finally:
        served.kill()
        served.wait()
    assert kept.has(Run("random", 0))


PROGRAM = """
import sys
from pathlib import Path
from backend.backtest.kept import Kept
from backend.backtest.runs import Run
from backend.commands.backtest_workers import make_all
from backend.settings import Settings
runs = [Run("random", seed) for seed in range(200)]
tell = lambda done: print(done, flush=True)
make_all(Settings.load(), Kept(Path(sys.argv[1])), runs, 2, tell)
"""


@pytest.fixture
def command(settings, tmp_path):
    """A command in the middle of a long backtest: its process, and the folder of what it keeps."""
    long = Kept.of(tmp_path, mixture(n=120), LONG)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(long.folder)],
        env=settings.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while int(process.stdout.readline()) == 0:
        pass
    yield process
    process.kill()
    process.communicate()


def test_nothing_survives_a_command_that_is_killed(command, settings):
    assert len(under(settings.data_dir)) >= 4  # the command, its engine, two workers
    command.kill()
    command.wait()
    wait_until(lambda: not under(settings.data_dir))


def test_an_interrupt_ends_everything_at_once(command, settings):
    command.terminate()  # SIGINT is ignored under nohup
    _, said = command.communicate(timeout=PATIENCE_SECONDS)
    assert said.rstrip().endswith("KeyboardInterrupt")
    wait_until(lambda: not under(settings.data_dir))


def test_a_worker_that_dies_is_told_of(command, settings):
    """What runs a job is a fork of a worker: one that memory was taken from."""
    children = [
        process
        for process in under(settings.data_dir)
        if backtest_jobs.QUEUE.encode() in Path(f"/proc/{process}/cmdline").read_bytes()
    ]
    parents = {
        process: int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        for process in children
    }
    forks = [process for process, parent in parents.items() if parent in children]
    os.kill(forks[0], signal.SIGKILL)
    _, said = command.communicate(timeout=PATIENCE_SECONDS)
    assert "A worker process died" in said
    assert "run the same command again" in said
