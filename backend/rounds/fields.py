"""Fields of `task.data` as columns: metadata for the strategies, and the tasks' groups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.store.tables import Task

Fields = dict[int, dict[str, Any]]


def living_tasks(session: Session, project_id: int) -> Sequence[Any]:
    """Every task that was not deleted, in order of its number."""
    return session.execute(
        sa.select(Task.task_id, Task.fields, Task.content_hash, Task.value)
        .where(Task.project_id == project_id, Task.deleted_at.is_(None))
        .order_by(Task.task_id)
    ).all()


def read_fields(session: Session, project_id: int) -> Fields:
    """The short scalar values of every living task's data, by task."""
    rows = session.execute(
        sa.select(Task.task_id, Task.fields).where(
            Task.project_id == project_id, Task.deleted_at.is_(None)
        )
    )
    return {task_id: fields or {} for task_id, fields in rows}


def column(fields: Fields, task_ids: Sequence[int], name: str) -> npt.NDArray[Any] | None:
    """One field of these tasks, None where no task of the project has it.

    returns (n,) float64 with NaN where it is missing if every value is a number, else (n,) objects:
    texts, or None where it is missing
    """
    if not any(name in values for values in fields.values()):
        return None
    values = [fields.get(task_id, {}).get(name) for task_id in task_ids]
    present = [value for value in values if value is not None]
    if present and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in present
    ):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = [None if value is None else str(value) for value in values]
    return column


def groups(fields: Fields, task_ids: Sequence[int], name: str) -> npt.NDArray[np.str_]:
    """The group of each task, (n,) texts; a task without one is a group of its own."""
    found = []
    for task_id in task_ids:
        value = fields.get(task_id, {}).get(name)
        found.append(f"task {task_id}" if value in (None, "") else f"group {value}")
    return np.array(found, dtype=np.str_)
