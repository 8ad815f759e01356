"""The jobs of backtests: batches of runs, of the API and of the command, behind all other work.

What one makes it keeps, so that a job which comes twice, or again after its worker died, makes only
what is missing.
"""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import redis
from rq import Queue, Retry, get_current_job
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from backend import engine
from backend.backtest import requests
from backend.backtest.batches import make_batch
from backend.backtest.labelled_data import LabelledData
from backend.backtest.project import project_data
from backend.backtest.runs import Run
from backend.errors import AskNextError
from backend.rounds.context import ProjectContext
from backend.settings import Settings
from backend.store.database import Database
from backend.store.projects import find

logger = logging.getLogger(__name__)

# What is asked for over the API is read and embedded first.
PREPARING_QUEUE = "asknext-embed"
QUEUE = "asknext-backtest"
TIMEOUT_SECONDS = 4 * 3600
# RQ pushes a job again whose worker died, and the last time it only notes that it gave up.
RETRIES = requests.MOST_ATTEMPTS
FAILURE_KEPT_SECONDS = 24 * 3600
# The command that waits for a result looks several times a second.
RESULT_KEPT_SECONDS = 3600
ROUNDS = "rounds"


def push_backtest(settings: Settings, identifier: str, batches: int | None = None) -> None:
    """Push the preparation of a backtest that was asked for over the API, or its batches."""
    connection = engine.connect(settings)
    try:
        name = PREPARING_QUEUE if batches is None else QUEUE
        queue = Queue(name, connection=connection, serializer=JSONSerializer)
        for number in [-1] if batches is None else range(batches):
            queue.enqueue(
                "backend.backtest_jobs.backtest",
                identifier,
                number,
                job_timeout=TIMEOUT_SECONDS,
                retry=Retry(max=RETRIES),
                result_ttl=0,
                failure_ttl=FAILURE_KEPT_SECONDS,
            )
    finally:
        connection.close()


def push_batches(
    connection: "redis.Redis", folder: Path, batches: Sequence[Sequence[Run]]
) -> list[Job]:
    """Push batches of runs of the backtest kept in `folder`: a job each, for who waits for them.

    Each notes the rounds that it has done in its `meta`, and returns what went wrong, in words.
    """
    queue = Queue(QUEUE, connection=connection, serializer=JSONSerializer)
    return [
        queue.enqueue(
            "backend.backtest_jobs.batch",
            str(folder),
            [[run.strategy, run.seed] for run in runs],
            job_timeout=TIMEOUT_SECONDS * len(runs),
            result_ttl=RESULT_KEPT_SECONDS,
            failure_ttl=RESULT_KEPT_SECONDS,
        )
        for runs in batches
    ]


def push_abandoned(settings: Settings) -> None:
    """Push the jobs of backtests again whose worker died, a minute or two after it did.

    Idle workers look for them too, but only every few minutes. Other work has leases for this.
    """
    connection = engine.connect(settings)
    try:
        for name in (PREPARING_QUEUE, QUEUE):
            StartedJobRegistry(name, connection=connection, serializer=JSONSerializer).cleanup()
    except (redis.RedisError, OSError) as error:
        logger.warning("The queue engine is away (%s); work waits.", type(error).__name__)
    finally:
        connection.close()


def batch(folder: str, runs: Sequence[tuple[Any, int]]) -> str | None:
    """Make a few runs for a command that waits; what went wrong, in words."""
    job = get_current_job()

    def tell(rounds: int) -> None:
        if job is not None:
            job.meta[ROUNDS] = rounds
            job.save_meta()  # type: ignore[no-untyped-call]

    return make_batch(Path(folder), [Run(strategy, seed) for strategy, seed in runs], tell)


def backtest(identifier: str, number: int) -> None:
    """Make one batch of what was asked for over the API; -1 prepares it and pushes its batches."""
    settings = Settings.load()
    if not requests.attempt(settings, identifier, number):
        return
    try:
        if number >= 0:
            requests.make(settings, identifier, number)
            return
        batches = requests.prepare(settings, identifier, partial(_labelled_project, settings))
        push_backtest(settings, identifier, batches)
    except Exception as error:
        known = isinstance(error, AskNextError)
        requests.fail(settings, identifier, str(error) if known else f"It failed: {error!r}")
        if not known:
            logger.exception("The backtest %s failed.", identifier)


def _labelled_project(settings: Settings, number: int) -> LabelledData:
    database = Database(settings.database)
    try:
        with database.read() as session:
            project = find(session, number)
        if project is None:
            raise AskNextError(f"Project {number} is not connected; connect it first.")
        context = ProjectContext(settings, database, project.id)
        try:
            return project_data(context)
        finally:
            context.close()
    finally:
        database.dispose()
