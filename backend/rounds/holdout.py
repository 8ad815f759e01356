"""Drawing a project's hold-outs: once an era, before the first round, from the whole pool."""

import time

from sqlalchemy.orm import Session

from backend.evaluation.holdout import (
    draw_holdout,
    holdout_sizes,
    permanent_random_number,
)
from backend.rounds import mirror
from backend.store.database import Database
from backend.store.projects import record_event
from backend.store.tables import Project, SplitMember


def draw_splits(database: Database, session: Session, project: Project) -> None:
    """Draw the test and validation splits of a new era from every task, labelled or not."""
    task_ids = sorted(mirror.live_task_ids(session, project.id))
    config = project.config
    test_size, validation_size = holdout_sizes(
        int(config["budget"]),
        len(task_ids),
        test=int(config["test_size"]),
        validation=int(config["validation_size"]),
    )
    keys = [str(task_id) for task_id in task_ids]
    holdout = draw_holdout(keys, project.secret, test_size, validation_size)
    now = time.time()
    era = project.era + 1
    rows = [
        {
            "project_id": project.id,
            "era": era,
            "task_id": task_ids[index],
            "role": role,
            "u": permanent_random_number(project.secret, keys[index]),
            "drawn_at": now,
        }
        for role, members in (("test", holdout.test), ("validation", holdout.validation))
        for index in members
    ]
    database.upsert(session, SplitMember, rows)
    project.era = era
    project.holdout_drawn_at = now
    record_event(
        session,
        project.id,
        "info",
        f"Drew the hold-outs of era {era}: {len(holdout.test)} test and "
        f"{len(holdout.validation)} validation tasks of {len(task_ids)}.",
    )
