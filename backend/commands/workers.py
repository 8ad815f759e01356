"""Which workers are alive, by what they tell the queue engine."""

import os
import socket
from typing import Any

from backend.settings import Settings


def living_workers(settings: Settings) -> list[dict[str, Any]]:
    """The workers with their queues and state; none where the engine is away.

    A worker that was killed stays registered for some minutes: on this machine its process id
    tells.
    """
    import redis
    from rq import Worker
    from rq.serializers import JSONSerializer

    from backend import engine

    if not engine.answers(settings):
        return []
    connection = engine.connect(settings)
    try:
        return [
            {
                "name": worker.name,
                "pid": worker.pid,
                "queues": worker.queue_names(),
                "state": str(worker.get_state()),
                "heartbeat": worker.last_heartbeat.timestamp() if worker.last_heartbeat else None,
            }
            for worker in Worker.all(connection=connection, serializer=JSONSerializer)
            if _is_alive(worker)
        ]
    except (redis.RedisError, OSError):
        return []
    finally:
        connection.close()


def _is_alive(worker: Any) -> bool:
    if worker.hostname != socket.gethostname() or not worker.pid:
        return True
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
