"""A test set that the admin names, instead of one that is drawn: annotations, tasks or a field."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.config import NamedTestSet, QueueConfig
from backend.errors import ConfigurationError
from backend.rounds.fields import read_fields
from backend.store.evaluation_tables import HoldoutEra
from backend.store.tables import Annotation, Project


def named_test_tasks(
    session: Session, project: Project, config: QueueConfig, task_ids: Collection[int]
) -> frozenset[int] | None:
    """The tasks of `test_set` among these; None where the test set is to be drawn.

    Raises:
        ConfigurationError: it names none of them, so that nothing would ever be tested.
    """
    named = config.test_set
    if named is None:
        return None
    there = set(task_ids)
    if named.tasks is not None:
        return _some(
            there & set(named.tasks),
            "test_set.tasks",
            f"none of the {len(named.tasks)} ids is a task of this project. Name the ids that "
            "Label Studio shows",
        )
    if named.field is not None:
        fields = read_fields(session, project.id)
        return _some(
            tasks_with_value(named, {task: fields.get(task, {}) for task in there}),
            "test_set.field",
            f"no task has {named.field} = {named.value}. Name a field of the task data and one of "
            "its values, or import the tasks that have it",
        )
    found = session.scalars(
        sa.select(Annotation.task_id).where(
            Annotation.project_id == project.id,
            Annotation.ground_truth.is_(True),
            Annotation.deleted_at.is_(None),
        )
    )
    return _some(
        there & set(found),
        "test_set.ground_truth",
        "no task has an annotation that is marked as ground truth. Mark some in Label Studio",
    )


def named_test_set(session: Session, project: Project) -> NamedTestSet | None:
    """How the test set in force was named, None where it was drawn."""
    era = session.get(HoldoutEra, (project.id, project.era))
    if era is None:
        return None
    # Before that was kept with the draw, the configuration alone said so.
    asked_for = era.reports.get("asked_for", project.config)
    named = asked_for.get("test_set")
    return None if named is None else NamedTestSet.model_validate(named)


def tasks_with_value(
    named: NamedTestSet | None, fields: Mapping[int, Mapping[str, Any]]
) -> frozenset[int]:
    """Those of some tasks that have the value by which the test set is named."""
    if named is None or named.field is None:
        return frozenset()
    wanted = str(named.value)
    return frozenset(task for task, mine in fields.items() if str(mine.get(named.field)) == wanted)


def _some(tasks: Collection[int], path: str, message: str) -> frozenset[int]:
    if not tasks:
        raise ConfigurationError(
            path, f"{message}, or leave `test_set` out to have a test set drawn."
        )
    return frozenset(tasks)
