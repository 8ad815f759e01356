"""The jobs that RQ workers run, and pushing what is due to their queues.

A job carries two plain values, what to do and for which project; everything else is read from the
state when it runs. A job that comes twice, late, or after its work was done finds no lease to take
and ends at once.
"""

import logging
import time

import redis
import sqlalchemy as sa
from rq import Queue
from rq.serializers import JSONSerializer

from backend import engine
from backend.errors import AskNextError, LeaseLostError, ProjectGoneError
from backend.rounds.context import ProjectContext
from backend.rounds.embed import embed
from backend.rounds.round import RoundRun
from backend.rounds.upkeep import clean_old_versions, request_due, sync_and_fill
from backend.settings import Settings
from backend.store import work
from backend.store.database import Database
from backend.store.projects import record_error, record_event, set_values
from backend.store.tables import Project, Round, Work
from backend.store.work import Lease, WorkKind

logger = logging.getLogger(__name__)

# Strict order: a top-up never waits for a round that has not begun, nor either for embedding, nor
# any of them for the runs of a backtest. What a stream of syncs would starve is pushed to the first
# queue once it has waited its time.
QUEUES = ("asknext-sync", "asknext-round", "asknext-embed", "asknext-backtest")
QUEUE_OF: dict[WorkKind, str] = {
    "sync": "asknext-sync",
    "round": "asknext-round",
    "embed": "asknext-embed",
    "clean": "asknext-embed",
}
JOB_TIMEOUT_SECONDS: dict[WorkKind, int] = {
    "sync": 3600,  # the first sync of a very large project
    "round": 3600,
    "embed": 600,
    "clean": 3600,
}
FAILURE_KEPT_SECONDS = 24 * 3600
# Syncs of one project keep this distance: events that come faster share one.
SYNC_SPACING_SECONDS = 0.5


def push_due(settings: Settings, database: Database) -> int:
    """Push every piece of work that is due to its queue; how many.

    Where the queue engine is away nothing is lost: the next sweep pushes it.
    """
    due = work.due(database)
    impatient = work.impatient(database)
    if not due and not impatient:
        return 0
    connection = engine.connect(settings)
    try:
        for project_id, kind in due:
            _enqueue(connection, QUEUE_OF[kind], project_id, kind)
            work.mark_pushed(database, project_id, kind)
        for project_id, kind in impatient:
            _enqueue(connection, QUEUE_OF["sync"], project_id, kind)
            work.mark_promoted(database, project_id, kind)
    except (redis.RedisError, OSError) as error:
        logger.warning("The queue engine is away (%s); work waits.", type(error).__name__)
    finally:
        connection.close()
    return len(due) + len(impatient)


def _enqueue(connection: "redis.Redis", queue: str, project_id: int, kind: WorkKind) -> None:
    Queue(queue, connection=connection, serializer=JSONSerializer).enqueue(
        "backend.jobs.run",
        kind,
        project_id,
        job_timeout=JOB_TIMEOUT_SECONDS[kind],
        result_ttl=0,
        failure_ttl=FAILURE_KEPT_SECONDS,
    )


def request_all_syncs(database: Database) -> None:
    """Ask for a sync of every project: events may have been lost while nothing listened."""
    with database.write() as session:
        for project_id in session.scalars(
            sa.select(Project.id).where(Project.state.in_(("active", "paused")))
        ).all():
            work.request_in(session, project_id, "sync")


def sweep(settings: Settings, database: Database) -> int:
    """Request the regular syncs, then push what is due; how many jobs were pushed."""
    now = time.time()
    with database.read() as session:
        projects = list(
            session.scalars(sa.select(Project).where(Project.state.in_(("active", "paused"))))
        )
        asked = {
            row.project_id
            for row in session.execute(
                sa.select(Work.project_id).where(Work.kind == "sync", Work.requested > Work.done)
            )
        }
    for project in projects:
        # Until the hold-outs are drawn, two syncs as far apart as the rule asks decide.
        interval = (
            settings.sync_every_seconds
            if project.holdout_drawn_at
            else min(settings.stable_total_seconds, settings.sync_every_seconds)
        )
        if project.id not in asked and (project.last_synced_at or 0.0) < now - interval:
            work.request(database, project.id, "sync")
    return push_due(settings, database)


def run(kind: WorkKind, project_id: int) -> None:
    """Run one job; the entry that RQ calls."""
    settings = Settings.load()
    database = Database(settings.database)
    try:
        database.check_revision()
        run_with(settings, database, kind, project_id)
        push_due(settings, database)
    finally:
        database.dispose()


def run_with(settings: Settings, database: Database, kind: WorkKind, project_id: int) -> None:
    """Take the lease for this work and do it; a failure is recorded and tried again later."""
    lease = work.acquire(database, project_id, kind, settings.lease_seconds, even_if_done=False)
    if lease is None:
        return
    context = ProjectContext(settings, database, project_id)
    try:
        with work.heartbeat(lease):
            finished, wait = _work(kind, context, lease)
        work.release(lease, fulfils=finished, wait=wait)
        _clear_error(database, project_id, kind)
    except ProjectGoneError:
        _archive(database, project_id)
        work.release(lease)
    except LeaseLostError as error:
        logger.info("%s", error)
        work.release(lease, failed=True)
    except Exception as error:
        known = isinstance(error, AskNextError)
        message = str(error) if known else f"{type(error).__name__}: {error}"
        logger.log(
            logging.WARNING if known else logging.ERROR,
            "The %s of project %s failed: %s",
            kind,
            project_id,
            message,
            exc_info=not known,
        )
        record_error(database, project_id, f"{kind}: {message}"[:1000])
        _note_in_round(database, project_id, kind, message)
        work.release(lease, failed=True)
    finally:
        context.close()


def _work(kind: WorkKind, context: ProjectContext, lease: Lease) -> tuple[bool, float]:
    """Do the work; whether it is finished, and how long to wait before it goes on where not."""
    if kind == "sync":
        sync_and_fill(context, lease)
        return True, SYNC_SPACING_SECONDS
    if kind == "round":
        ready = RoundRun(context, lease).run()
        if ready:
            _ask_to_clean(context)
        return ready, 0.0 if ready else context.settings.stable_total_seconds / 6
    if kind == "embed":
        seconds = context.settings.embed_slice_seconds
        if embed(context, seconds=seconds, report=lease.report):
            request_due(context)
            return True, 0.0
        return False, 0.0
    clean_old_versions(context)
    return True, 0.0


def _ask_to_clean(context: ProjectContext) -> None:
    if context.project().queue_attempt % 10 == 0:
        work.request(context.database, context.project_id, "clean")


def _archive(database: Database, project_id: int) -> None:
    with database.write() as session:
        set_values(session, project_id, state="archived")
        record_event(
            session,
            project_id,
            "warning",
            "Label Studio no longer has this project; AskNext keeps its records and leaves it be.",
        )


def _clear_error(database: Database, project_id: int, kind: WorkKind) -> None:
    """A success takes back the error of the same kind of work."""
    with database.read() as session:
        project = session.get(Project, project_id)
    if project is not None and (project.last_error or "").startswith(f"{kind}: "):
        record_error(database, project_id, None)


def _note_in_round(database: Database, project_id: int, kind: WorkKind, message: str) -> None:
    if kind != "round":
        return
    with database.write() as session:
        session.execute(
            sa.update(Round)
            .where(Round.project_id == project_id, Round.state == "running")
            .values(error=message[:1000])
        )
