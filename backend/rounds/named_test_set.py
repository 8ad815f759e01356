"""A test set that the admin names, instead of one that is drawn: annotations, tasks or a field."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.config import QueueConfig
from backend.rounds.fields import read_fields
from backend.store.tables import Annotation, Project


def named_test_tasks(
    session: Session, project: Project, config: QueueConfig, task_ids: Collection[int]
) -> frozenset[int] | None:
    """The tasks of `test_set` among these; None where the test set is to be drawn."""
    named = config.test_set
    if named is None:
        return None
    there = set(task_ids)
    if named.tasks is not None:
        return frozenset(there & set(named.tasks))
    if named.field is not None:
        fields = read_fields(session, project.id)
        wanted = str(named.value)
        return frozenset(
            task for task in there if str(fields.get(task, {}).get(named.field)) == wanted
        )
    found = session.scalars(
        sa.select(Annotation.task_id).where(
            Annotation.project_id == project.id,
            Annotation.ground_truth.is_(True),
            Annotation.deleted_at.is_(None),
        )
    )
    return frozenset(there & set(found))
