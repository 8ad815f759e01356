"""The jobs of backtests on the real queue engine."""

import pytest
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from backend import backtest_jobs, engine


@pytest.fixture
def connection(settings):
    process = engine.start(settings)
    opened = engine.connect(settings)
    yield opened
    opened.close()
    process.kill()
    process.wait()


def begun(connection, queue, last_sign_of_life):
    """Take the next job from the queue as a worker does that then dies."""
    (identifier,) = queue.job_ids
    queue.remove(identifier)
    job = Job.fetch(identifier, connection=connection, serializer=JSONSerializer)
    job.set_status(JobStatus.STARTED)
    registry = StartedJobRegistry(queue=queue)
    connection.zadd(registry.key, {f"{identifier}:execution": last_sign_of_life})
    return identifier


def test_a_backtest_whose_worker_died_is_pushed_again_as_often_as_may_be(settings, connection):
    backtest_jobs.push_backtest(settings, "0123456789abcdef")
    queue = Queue(backtest_jobs.PREPARING_QUEUE, connection=connection, serializer=JSONSerializer)
    for _ in range(backtest_jobs.RETRIES):
        identifier = begun(connection, queue, last_sign_of_life=1)
        backtest_jobs.push_abandoned(settings)
        assert queue.job_ids == [identifier]
    begun(connection, queue, last_sign_of_life=1)
    backtest_jobs.push_abandoned(settings)
    assert queue.job_ids == []


def test_a_backtest_whose_worker_lives_is_left_alone(settings, connection):
    backtest_jobs.push_backtest(settings, "0123456789abcdef", batches=1)
    queue = Queue(backtest_jobs.QUEUE, connection=connection, serializer=JSONSerializer)
    begun(connection, queue, last_sign_of_life=4e9)
    backtest_jobs.push_abandoned(settings)
    assert queue.job_ids == []


def test_without_an_engine_nothing_is_pushed_and_nothing_fails(settings):
    backtest_jobs.push_abandoned(settings)
