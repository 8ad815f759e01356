"""The living tasks that are embedded, by task id."""

import sqlalchemy as sa

from backend.rounds.context import ProjectContext
from backend.store.tables import Task


def embedded_tasks(context: ProjectContext) -> dict[int, bytes]:
    """The content of each living task that has an embedding, in order of task id."""
    with context.database.read() as session:
        rows = session.execute(
            sa.select(Task.task_id, Task.content_hash)
            .where(
                Task.project_id == context.project_id,
                Task.deleted_at.is_(None),
                Task.content_hash.is_not(None),
            )
            .order_by(Task.task_id)
        ).all()
    known = context.cache.contains([row.content_hash for row in rows])
    return {row.task_id: row.content_hash for row, there in zip(rows, known, strict=True) if there}
