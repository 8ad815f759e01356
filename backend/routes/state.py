"""What the routes work with; `create_app` puts it where each request finds it."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import cast

from fastapi import Request
from sqlalchemy.exc import OperationalError

from backend import backtest_jobs, jobs
from backend.prediction import Predictor
from backend.settings import Settings
from backend.store import work
from backend.store.database import Database
from backend.store.work import WorkKind

logger = logging.getLogger(__name__)

ABANDONED_EVERY_SECONDS = 15.0


class Pusher:
    """A thread that pushes due work to the queues: at once when woken, and with every sweep.

    Requests only wake it, so that they answer at once whatever the queue engine does.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._nudges: set[tuple[int, WorkKind]] = set()
        self._thread = threading.Thread(target=self._run, name="pusher", daemon=True)

    def start(self) -> None:
        """Begin sweeping."""
        self._thread.start()

    def stop(self) -> None:
        """End after the sweep that runs."""
        self._stopped.set()
        self._woken.set()
        self._thread.join(timeout=10)

    def wake(self) -> None:
        """Something is due now."""
        self._woken.set()

    def nudge(self, project_id: int, kind: WorkKind) -> None:
        """Request work without waiting for whoever writes to the state now.

        Label Studio gives a webhook a second. What is lost with this process the next regular sync
        finds.
        """
        with self._lock:
            self._nudges.add((project_id, kind))
        self._woken.set()

    def write_nudges(self) -> None:
        """Write the requests that came since the last time."""
        with self._lock:
            nudges, self._nudges = self._nudges, set()
        for project_id, kind in nudges:
            work.request(self._database, project_id, kind)

    def _run(self) -> None:
        try:
            jobs.request_all_syncs(self._database)
        except OperationalError as error:
            logger.warning("The state database is busy (%s); projects sync later.", error.orig)
        looked_at = time.monotonic()
        while not self._stopped.is_set():
            self._woken.clear()
            try:
                self.write_nudges()
                jobs.sweep(self._settings, self._database)
                if time.monotonic() - looked_at > ABANDONED_EVERY_SECONDS:
                    looked_at = time.monotonic()
                    backtest_jobs.push_abandoned(self._settings)
            except OperationalError as error:
                logger.warning("The state database is busy (%s); sweeping again.", error.orig)
            except Exception:
                logger.exception("A sweep failed; sweeping again.")
            self._woken.wait(self._settings.sweep_every_seconds)


@dataclass(frozen=True)
class State:
    """The dependencies of the routes."""

    settings: Settings
    database: Database
    predictor: Predictor
    pusher: Pusher
    version: str


def state_of(request: Request) -> State:
    """The state of the app that serves this request."""
    return cast("State", request.app.state.asknext)
