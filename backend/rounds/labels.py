"""Deriving labels from annotations, with their history."""

import time
from collections import defaultdict
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.models.label_aggregation import TaskLabel, Vote, aggregate
from backend.store.database import ROWS_A_STATEMENT, Database
from backend.store.tables import Annotation, Label, LabelChange, Project

NO_LABEL = TaskLabel(label=None, status="none", votes=0, agreement=None)


def derive_labels(
    database: Database, session: Session, project: Project, task_ids: Collection[int] | None
) -> int:
    """Recompute the labels of some tasks (None: of all) from their annotations.

    Returns the number of label changes: a new label, an edited one and a deleted one count one
    each. The project's `label_changes` grows by it.
    """
    votes = votes_of(session, project, task_ids)
    before = {row.task_id: row for row in _labels(session, project.id, task_ids)}
    now = time.time()
    rows = []
    changes = 0
    for task_id in sorted(votes.keys() | before.keys()):
        old = before.get(task_id)
        new = aggregate(votes[task_id]) if task_id in votes else NO_LABEL
        if old is not None and (old.label, old.status, old.votes, old.agreement) == (
            new.label,
            new.status,
            new.votes,
            new.agreement,
        ):
            continue
        if old is None and new.status == "none" and new.votes == 0:
            continue
        rows.append(
            {
                "project_id": project.id,
                "task_id": task_id,
                "label": new.label,
                "status": new.status,
                "votes": new.votes,
                "agreement": new.agreement,
                "changed_at": now,
            }
        )
        previous = old.label if old is not None else None
        if previous != new.label:
            changes += 1
            session.add(
                LabelChange(
                    project_id=project.id,
                    task_id=task_id,
                    schema_number=project.schema_number,
                    label=new.label,
                    previous=previous,
                    status=new.status,
                    at=now,
                )
            )
    database.upsert(session, Label, rows)
    session.execute(
        sa.update(Project)
        .where(Project.id == project.id)
        .values(label_changes=Project.label_changes + changes)
    )
    return changes


def votes_of(
    session: Session, project: Project, task_ids: Collection[int] | None
) -> dict[int, list[Vote]]:
    """Everything that was said of some tasks (None: of all), in the order in which it was said."""
    classes = set(project.classes)
    votes: dict[int, list[Vote]] = defaultdict(list)
    for row in _annotations(session, project.id, task_ids):
        chosen = row.choices.get(project.control or "", [])
        label = chosen[0] if len(chosen) == 1 and chosen[0] in classes else None
        votes[row.task_id].append(
            Vote(
                annotator=row.completed_by,
                label=label,
                cancelled=row.cancelled,
                order=row.annotation_id,
            )
        )
    return votes


def first_opinions(session: Session, project: Project, task_ids: Collection[int]) -> dict[int, str]:
    """What the first annotator of each of these tasks says of it, by his newest annotation."""
    found = {}
    for task, votes in votes_of(session, project, task_ids).items():
        said: dict[object, str] = {}
        for place, vote in enumerate(votes):
            if vote.label is not None and not vote.cancelled:
                said[place if vote.annotator is None else ("known", vote.annotator)] = vote.label
        if said:
            found[task] = next(iter(said.values()))
    return found


def labels_to_measure_by(session: Session, project: Project) -> dict[int, str]:
    """Each task's label: what most people said, and where that is nothing, what was said first.

    Left out, the tasks that people disagree on would take the hard ones out of every accuracy: two
    annotators settle no tie.
    """
    rows = session.execute(
        sa.select(Label.task_id, Label.label, Label.status).where(
            Label.project_id == project.id, Label.status != "none"
        )
    ).all()
    disputed = [row.task_id for row in rows if row.status == "tie"]
    settled = {row.task_id: row.label for row in rows if row.label is not None}
    return settled | (first_opinions(session, project, disputed) if disputed else {})


def _annotations(
    session: Session, project_id: int, task_ids: Collection[int] | None
) -> list[Annotation]:
    query = (
        sa.select(Annotation)
        .where(Annotation.project_id == project_id, Annotation.deleted_at.is_(None))
        .order_by(Annotation.created_at, Annotation.annotation_id)
    )
    if task_ids is None:
        return list(session.scalars(query))
    found: list[Annotation] = []
    for chunk in _chunked(task_ids):
        found.extend(session.scalars(query.where(Annotation.task_id.in_(chunk))))
    return found


def _labels(session: Session, project_id: int, task_ids: Collection[int] | None) -> list[Label]:
    query = sa.select(Label).where(Label.project_id == project_id)
    if task_ids is None:
        return list(session.scalars(query))
    found: list[Label] = []
    for chunk in _chunked(task_ids):
        found.extend(session.scalars(query.where(Label.task_id.in_(chunk))))
    return found


def _chunked(task_ids: Collection[int]) -> list[list[int]]:
    ids = sorted(task_ids)
    return [ids[start : start + ROWS_A_STATEMENT] for start in range(0, len(ids), ROWS_A_STATEMENT)]
