"""Skips are not random: who of two people has skipped a task, and when it is left unanswered."""

from collections import defaultdict
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.store.tables import Annotation, Project, Round

# Rounds in which a skipped task waits for another annotator.
ROUNDS_FOR_ANOTHER = 2


def waiting_skips(session: Session, project: Project) -> set[int]:
    """Tasks that one person skipped, nobody else has seen, and that wait for another person still:
    fewer than two rounds began since and are done. While nothing is served, nobody is waited for.
    """
    if project.state != "active":
        return set()
    skips: dict[int, set[int | None]] = defaultdict(set)
    newest: dict[int, str] = {}
    labelled = sa.select(Annotation.task_id).where(
        Annotation.project_id == project.id,
        Annotation.deleted_at.is_(None),
        Annotation.cancelled.is_(False),
    )
    for row in session.execute(
        sa.select(Annotation.task_id, Annotation.completed_by, Annotation.created_at).where(
            Annotation.project_id == project.id,
            Annotation.deleted_at.is_(None),
            Annotation.cancelled,
            Annotation.task_id.not_in(labelled),
        )
    ):
        skips[row.task_id].add(row.completed_by)
        newest[row.task_id] = max(newest.get(row.task_id, ""), row.created_at)
    begun = sorted(
        session.scalars(
            sa.select(Round.started_at).where(Round.project_id == project.id, Round.state == "done")
        )
    )
    # The moment from which on fewer than so many rounds began.
    patient = begun[-ROUNDS_FOR_ANOTHER] if len(begun) >= ROUNDS_FOR_ANOTHER else 0.0
    return {
        task
        for task, people in skips.items()
        if len(people) < 2 and _moment(newest[task]) > patient
    }


def _moment(created_at: str) -> float:
    return datetime.fromisoformat(created_at.replace("Z", "+00:00")).timestamp()
