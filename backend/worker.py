"""A worker process: takes jobs from the queues and runs each in a fork of its own."""

import importlib
import logging
import time
from collections.abc import Sequence

import redis
from rq import Queue, Worker
from rq.serializers import JSONSerializer

from backend import backtest_jobs, engine, jobs
from backend.settings import Settings

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 2.0
PRELOADED = ("torch", "tokenizers", "safetensors.numpy", "backend.models.minilm")


def work(settings: Settings, queues: Sequence[str] = jobs.QUEUES) -> None:
    """Serve `queues` in strict order until told to stop; outlives restarts of the queue engine.

    The heavy imports are done here, once, so that a fork starts at once; none of torch's operations
    runs in this process, for a fork after one hangs.
    """
    if set(queues) != {backtest_jobs.QUEUE}:
        for module in PRELOADED:
            importlib.import_module(module)
    while True:
        try:
            connection = engine.connect(settings)
            worker = Worker(
                [Queue(name, connection=connection, serializer=JSONSerializer) for name in queues],
                connection=connection,
                serializer=JSONSerializer,
                maintenance_interval=60,
            )
            worker.work(logging_level="WARNING", with_scheduler=False)
            return  # a warm shutdown was asked for
        except (redis.RedisError, OSError) as error:
            logger.warning("The queue engine is away (%s); waiting.", type(error).__name__)
            time.sleep(RECONNECT_SECONDS)
