"""Exporting the labels: what was labelled, how it was chosen, and what it may be used for."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.errors import LeakError
from backend.labelstudio import LabelStudio
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.fields import read_fields
from backend.rounds.inclusion import inclusion_probabilities
from backend.rounds.numbering import current_era, numbering
from backend.rounds.train import labelled_tasks, leaking
from backend.rounds.training_set import rolling_validation
from backend.store.database import Database
from backend.store.evaluation_tables import ControlDraw
from backend.store.tables import Annotation, Label, Pick, Project, Round, Task, TrainingManifest

ANNOTATED = {
    "filter": "filter:tasks:total_annotations",
    "operator": "greater",
    "type": "Number",
    "value": 0,
}


def check_for_leaks(database: Database, project: Project) -> None:
    """Refuse where a test task trained a model since the hold-outs were drawn.

    Raises:
        LeakError: names the tasks and the rounds.
    """
    with database.read() as session:
        era = current_era(session, project)
        if era is None:
            return
        test = {task for task, role in queue.roles(session, project).items() if role == "test"}
        trained = session.execute(
            sa.select(TrainingManifest.round, TrainingManifest.members)
            .join(
                Round,
                sa.and_(
                    Round.project_id == TrainingManifest.project_id,
                    Round.number == TrainingManifest.round,
                ),
            )
            .where(
                TrainingManifest.project_id == project.id,
                Round.started_at >= era.drawn_at,
            )
            .order_by(TrainingManifest.round)
        )
        for row in trained:
            leaked = sorted(test & {int(member[0]) for member in row.members})
            if leaked:
                raise LeakError(
                    f"Round {row.round} was trained on {len(leaked)} tasks of the test set "
                    f"({', '.join(map(str, leaked[:10]))}{', …' if len(leaked) > 10 else ''}): the "
                    "test figures mean nothing, and nothing is exported. Start a new era with "
                    "`asknext holdout reset`."
                )


def exported(context: ProjectContext, client: LabelStudio) -> Iterator[dict[str, Any]]:
    """Every annotated task, by id: its data as in Label Studio, its label and its provenance.

    `split` is what the label may be used for: `test`, `validation`, `control` (it measures before
    it trains), `rolling` (likewise), `train`, or `blocked` (a hold-out's group, copy or
    near-duplicate).
    `probability` is the chance of being chosen where chance chose, else None.
    """
    too_close = _near_duplicates(context)
    with context.database.read() as session:
        project = context.project()
        provenance = _Provenance(session, project, too_close)
    for page in client.task_pages(
        project.label_studio_id, fields="all", include="id,data", filters=[ANNOTATED]
    ):
        for task in page:
            yield {
                "task": int(task["id"]),
                "data": task["data"],
                **provenance.of(int(task["id"])),
            }


class _Provenance:
    """How each task came to be labelled, as of one moment."""

    def __init__(self, session: Session, project: Project, near_duplicates: set[int]) -> None:
        mine = project.id
        self._era = current_era(session, project)
        self._roles = queue.roles(session, project)
        self._rolling = rolling_validation(session, project, project.round_number + 1)
        self._too_close = _groups_and_copies(session, project, self._roles) | near_duplicates
        self._labels = {
            row.task_id: row
            for row in session.scalars(sa.select(Label).where(Label.project_id == mine))
        }
        self._annotators: dict[int, list[int]] = defaultdict(list)
        for row in session.execute(
            sa.select(Annotation.task_id, Annotation.completed_by)
            .where(
                Annotation.project_id == mine,
                Annotation.deleted_at.is_(None),
                Annotation.cancelled.is_(False),
            )
            .order_by(Annotation.annotation_id)
        ):
            if row.completed_by is not None:
                self._annotators[row.task_id].append(row.completed_by)
        self._picks = {
            pick.task_id: pick
            for pick in session.scalars(
                sa.select(Pick)
                .where(Pick.project_id == mine, Pick.state.in_(("queued", "resolved")))
                .order_by(Pick.id)
            )
        }
        self._drawn = {
            row.task_id: row.probability
            for row in session.scalars(sa.select(ControlDraw).where(ControlDraw.project_id == mine))
        }
        self._chances = (
            {} if self._era is None else inclusion_probabilities(session, project, self._era)
        )

    def of(self, task_id: int) -> dict[str, Any]:
        """Label, split, role, probability, strategy, annotators, agreement, era, manifest."""
        label = self._labels.get(task_id)
        role = self._roles.get(task_id)
        pick = self._picks.get(task_id)
        split: str = role or ("rolling" if task_id in self._rolling else "train")
        if role is None and task_id in self._too_close:
            split = "blocked"
        # The control's own record knows no strata; where it grew there is no other.
        probability = self._chances.get(task_id, self._drawn.get(task_id))
        if probability is None and pick is not None:
            probability = (pick.details or {}).get("inclusion_probability", pick.probability)
        return {
            "label": None if label is None else label.label,
            "status": "none" if label is None else label.status,
            "split": split,
            "role": pick.family if pick is not None else role or "unplanned",
            "probability": probability,
            "strategy": pick.branch if pick is not None and pick.family == "strategy" else None,
            "round": None if pick is None else pick.round,
            "annotators": self._annotators.get(task_id, []),
            "agreement": None if label is None else label.agreement,
            "era": None if self._era is None else self._era.era,
            "manifest": None if self._era is None else self._era.digest,
        }


def _near_duplicates(context: ProjectContext) -> set[int]:
    """Labelled tasks whose embedding is nearly a hold-out's: AskNext does not train on them."""
    with context.database.read() as session:
        labelled = set(
            session.scalars(sa.select(Label.task_id).where(Label.project_id == context.project_id))
        )
    tasks = labelled_tasks(context, labelled)
    found = zip(tasks.task_ids, leaking(context, tasks), strict=True)
    return {task for task, reason in found if reason is not None}


def _groups_and_copies(session: Session, project: Project, roles: dict[int, Any]) -> set[int]:
    """Tasks of a hold-out's group, or with its content: no training data, whoever trains."""
    how = numbering(session, project)
    fields = read_fields(session, project.id) if how.group_by else {}
    rows = session.execute(
        sa.select(Task.task_id, Task.content_hash).where(Task.project_id == project.id)
    ).all()
    held = {task for task, role in roles.items() if role != "control"}
    groups = {how.key(task, fields.get(task, {})) for task in held}
    contents = {row.content_hash for row in rows if row.task_id in held} - {None}
    return {
        row.task_id
        for row in rows
        if row.task_id not in held
        and (
            row.content_hash in contents
            or how.key(row.task_id, fields.get(row.task_id, {})) in groups
        )
    }
