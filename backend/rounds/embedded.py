"""The living tasks that are embedded, by task id."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from backend.errors import EncoderUnavailableError
from backend.rounds.context import ProjectContext
from backend.rounds.schema import schema_of
from backend.store.tables import Project, Task

# With fewer of a pool embedded, its directions are not those of the pool.
ENOUGH_OF_A_POOL = 0.95


def embedded_tasks(context: ProjectContext) -> dict[int, bytes]:
    """The content of each living task that has an embedding, in order of task id.

    A round asks several times: it is read once a job while no task and no embedding comes or goes.
    """
    with context.database.read() as session:
        project = session.get_one(Project, context.project_id)
        count = session.scalar(
            sa.select(sa.func.count()).where(
                Task.project_id == context.project_id, Task.deleted_at.is_(None)
            )
        )
        # The cursor moves with every change of a task in Label Studio.
        made_from = (project.cursor, project.total, count, len(context.cache))
        if context.memo.get("embedded tasks made from") == made_from:
            known: dict[int, bytes] = context.memo["embedded tasks"]
            return known
        rows = session.execute(
            sa.select(Task.task_id, Task.content_hash)
            .where(
                Task.project_id == context.project_id,
                Task.deleted_at.is_(None),
                Task.content_hash.is_not(None),
            )
            .order_by(Task.task_id)
        ).all()
    embedded = context.cache.contains([row.content_hash for row in rows])
    found = {
        row.task_id: row.content_hash for row, there in zip(rows, embedded, strict=True) if there
    }
    context.memo.update({"embedded tasks": found, "embedded tasks made from": made_from})
    return found


def pool_embeddings(
    context: ProjectContext, hashes: Sequence[bytes | None]
) -> npt.NDArray[np.float32] | None:
    """The embeddings of a pool's contents (n, d), None while fewer than 95% of them are there.

    A content without one stands at the mean of the others.
    """
    if schema_of(context.project()) is None or not hashes:
        return None
    try:
        cache = context.cache
    except EncoderUnavailableError:
        return None
    cache.refresh()
    known = cache.contains([content or b"" for content in hashes])
    if known.mean() < ENOUGH_OF_A_POOL:
        return None
    found = cache.get([h for h, there in zip(hashes, known, strict=True) if there and h])
    whole = np.tile(found.mean(axis=0), (len(hashes), 1))
    whole[known] = found
    return whole
