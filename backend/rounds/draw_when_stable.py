"""When the hold-outs are drawn: once the number of tasks stands still, and the draw can be made."""

import time

from sqlalchemy.orm import Session

from backend.errors import ConfigurationError
from backend.rounds.fields import living_tasks
from backend.rounds.holdout import PoolEmbeddings, draw_splits
from backend.store import work
from backend.store.database import Database
from backend.store.projects import record_event
from backend.store.tables import Project

# A pool that never stops growing must not keep learning from starting: then the hold-outs are drawn
# from what is there.
LONGEST_WAIT_FOR_A_STABLE_TOTAL = 600.0
# How an error begins that keeps the hold-outs from being drawn.
REFUSED = "hold-outs: "


def draw_when_stable(
    database: Database,
    session: Session,
    project: Project,
    stable_total_seconds: float,
    embeddings: PoolEmbeddings | None = None,
) -> bool:
    """Draw the hold-outs once, when two syncs far enough apart saw the same total; whether it did.

    What the configuration makes impossible is tried again with every sync, for the admin may mend
    it, or the tasks may still come. No round trains until then. For the embeddings, by which the
    draw is compared with the pool, it waits as long again, and no longer.
    """
    now = time.time()
    if (
        project.holdout_drawn_at is not None
        or project.first_synced_at is None
        or not project.total
        or project.stable_total_at is None
    ):
        return False
    stable = now - project.stable_total_at >= stable_total_seconds
    if not stable and now - project.first_synced_at < LONGEST_WAIT_FOR_A_STABLE_TOTAL:
        return False
    found = None
    if embeddings is not None:
        found = embeddings([task.content_hash for task in living_tasks(session, project.id)])
        patient = now - project.stable_total_at < 2 * stable_total_seconds
        if found is None and stable and patient:
            return False
    try:
        draw_splits(database, session, project, found)
    except ConfigurationError as error:
        _say_why_not(session, project, f"{REFUSED}{error}")
        return False
    if (project.last_error or "").startswith(REFUSED):
        project.last_error = project.last_error_at = None
    if not stable:
        record_event(
            session,
            project.id,
            "warning",
            "Tasks keep arriving: the hold-outs were drawn from those that were there; later ones "
            "join by the same rule, beside the frozen sets.",
        )
    if project.era > 1:  # the model in force may have trained on the new members
        work.request_in(session, project.id, "round")
    return True


def _say_why_not(session: Session, project: Project, message: str) -> None:
    if project.last_error != message:
        record_event(session, project.id, "error", message)
        project.last_error, project.last_error_at = message, time.time()
