"""Making all runs of a backtest as RQ jobs, on workers that live as long as the command.

The command has a queue engine of its own for as long: on an installation's its workers would take
other people's jobs with them when they end, and its jobs would hold up rounds.
"""

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import redis
from pydantic import SecretStr
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from backend import engine
from backend.backtest.kept import Kept, in_batches
from backend.backtest.labelled_data import BacktestError
from backend.backtest.runs import Run
from backend.backtest_jobs import QUEUE, ROUNDS, push_batches
from backend.settings import Settings
from backend.supervisor import Child, Supervisor

LOOK_SECONDS = 0.2
# Small products: one thread each is faster, and leaves the other cores to the other workers.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
GO_ON = "run the same command again to go on"

Tell = Callable[[int], None]


def make_all(settings: Settings, kept: Kept, runs: Sequence[Run], workers: int, tell: Tell) -> None:
    """Make the runs that are not kept yet; `tell` gets how many rounds of those are done.

    Raises BacktestError where a strategy fails on this data or a worker dies, AskNextError where
    one cannot even start, and KeyboardInterrupt where the user has had enough.
    """
    batches = in_batches([run for run in runs if not kept.has(run)], workers)
    if not batches:
        return
    with (
        _own_engine(settings) as (reached, child),
        Supervisor([child, *_workers(reached, min(workers, len(batches)))], _ignore) as supervisor,
    ):
        supervisor.start()
        if supervisor.is_asked_to_stop:
            raise KeyboardInterrupt
        connection = engine.connect(reached)
        try:
            jobs = push_batches(connection, kept.folder.absolute(), batches)
            _await(connection, jobs, supervisor, tell)
        except redis.RedisError as error:
            raise BacktestError(
                f"The queue engine went away ({type(error).__name__}); {GO_ON}."
            ) from error
        finally:
            connection.close()


def _await(
    connection: "redis.Redis", jobs: Sequence[Job], supervisor: Supervisor, tell: Tell
) -> None:
    """Look after the jobs until all are done."""
    done: dict[str, int] = {}
    waiting = [job.id for job in jobs]
    while waiting:
        if supervisor.is_asked_to_stop:
            raise KeyboardInterrupt
        supervisor.step()
        supervisor.check()
        for name, job in zip(waiting, _fetched(connection, waiting), strict=True):
            if job is None:
                raise BacktestError(f"The queue engine has lost what it was to do; {GO_ON}.")
            done[name] = job.meta.get(ROUNDS, 0)
            _check(job)
            if job.get_status(refresh=False) == JobStatus.FINISHED:
                waiting = [other for other in waiting if other != name]
        tell(sum(done.values()))
        if waiting:
            time.sleep(LOOK_SECONDS)


def _check(job: Job) -> None:
    status = job.get_status(refresh=False)
    if status == JobStatus.FINISHED and (problem := job.return_value()) is not None:
        raise BacktestError(f"{problem} Leave that strategy out, or give it what it needs.")
    if status not in (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED):
        return
    result = job.latest_result()
    lines = ((result.exc_string if result else None) or "").strip().splitlines()
    if (
        lines
        and re.search("Error|Exception", lines[-1].split(":")[0])
        and "AbandonedJobError" not in lines[-1]
    ):
        raise BacktestError(f"A run failed: {lines[-1]}")
    raise BacktestError(
        f"A worker process died, perhaps for want of memory; {GO_ON}, with --jobs 1 or fewer items."
    )


def _fetched(connection: "redis.Redis", names: Sequence[str]) -> list[Job | None]:
    return Job.fetch_many(names, connection=connection, serializer=JSONSerializer)


def _workers(settings: Settings, count: int) -> list[Child]:
    """So many workers that serve nothing but the runs of backtests."""
    command = (sys.executable, "-P", "-m", "backend.cli", "worker", "--queues", QUEUE)
    return [
        Child(
            f"worker {number}",
            command,
            settings.data_dir.absolute() / "logs" / f"backtest-{number}.log",
            {**settings.environment(), **ONE_THREAD},
            stage=1,
            grace_seconds=0.0,
        )
        for number in range(1, count + 1)
    ]


@contextmanager
def _own_engine(settings: Settings) -> Iterator[tuple[Settings, Child]]:
    """An engine that nobody else knows of, and the settings that name it."""
    with tempfile.TemporaryDirectory(prefix="asknext-") as folder:
        own = settings.model_copy(update={"data_dir": Path(folder), "redis_url": None})
        child = Child(
            "engine",
            tuple(engine.command(own)),
            settings.data_dir.absolute() / "logs" / "backtest-engine.log",
            settings.environment(),
            ready=partial(engine.answers, own),
            grace_seconds=2.0,
        )
        yield settings.model_copy(update={"redis_url": SecretStr(own.engine_url)}), child


def _ignore(level: str, text: str) -> None:
    """What the workers log is in their files; what matters of it comes back with the jobs."""
