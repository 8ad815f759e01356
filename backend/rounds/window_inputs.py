"""What a window is made from, as one digest: while it stays the same, ranking again finds nothing.

An exhausted pool would else be ranked with every sync, for the window stays too small for ever.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.config import digest_of
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.embed import missing
from backend.store.evaluation_tables import SplitMember
from backend.store.tables import Annotation, ContentFailure, HandRule, Project, Task


def window_inputs(session: Session, context: ProjectContext) -> str:
    """A digest that any label, skip, task, rule, role, setting, model or embedding changes.

    Also another version in force, or one that was left unfinished: then a window is due whatever
    the pool holds.
    """
    project = session.get_one(Project, context.project_id)
    rules = session.scalars(
        sa.select(HandRule).where(HandRule.project_id == project.id).order_by(HandRule.view_id)
    )
    return digest_of(
        [
            # The cursor moves with every change of a task or annotation in Label Studio.
            [project.cursor, project.total, project.label_changes, project.schema_number],
            [project.era, project.holdout_drawn_at, project.round_number, project.model_round],
            [project.queue_version, sorted(queue.staged_versions(session, project.id))],
            [project.rules_changed_at, [[r.view_id, r.digest, r.matched, r.error] for r in rules]],
            project.config,
            _figures(
                session,
                sa.func.count(),
                sa.func.max(Annotation.annotation_id),
                sa.func.max(Annotation.updated_at),
                sa.func.sum(sa.case((Annotation.cancelled, 1), else_=0)),
                where=(Annotation.project_id == project.id, Annotation.deleted_at.is_(None)),
            ),
            _figures(
                session,
                sa.func.count(),
                sa.func.max(Task.task_id),
                where=(Task.project_id == project.id, Task.deleted_at.is_(None)),
            ),
            _figures(
                session,
                sa.func.count(SplitMember.task_id),
                where=(SplitMember.project_id == project.id,),
            ),
            _figures(
                session,
                sa.func.count(ContentFailure.task_id),
                where=(ContentFailure.project_id == project.id,),
            ),
            len(missing(session, context).all()),
        ]
    )


def _figures(
    session: Session, *figures: Any, where: tuple[sa.ColumnElement[bool], ...]
) -> list[Any]:
    return list(session.execute(sa.select(*figures).where(*where)).one())
