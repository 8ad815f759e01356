"""Measuring a round's model on every set that it has not seen, each for its own use.

Test (sealed), validation (a), its like from late tasks, validation (b) of the strategy's own blind
picks, and validation (c): the random control, whose labels scored the model in force before any
model trained on them.
"""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.evaluation.class_accuracy import class_accuracies
from backend.evaluation.clustered_proportion import proportion
from backend.evaluation.metrics import compute_metrics
from backend.evaluation.skip_bounds import skip_bounds
from backend.models.artefact import Model
from backend.models.calibration import fit_temperature
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.embedded import embedded_tasks
from backend.rounds.fields import read_fields
from backend.rounds.leak_guard import LeakGuard, report
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.numbering import numbering
from backend.rounds.rules import read_rule_book
from backend.rounds.train import LabelledTasks, labelled_tasks
from backend.rounds.training_set import rolling_validation
from backend.store.evaluation_tables import ControlDraw, ControlScore, SplitMember
from backend.store.tables import Annotation, Label, Pick, Project, Task


def calibrate_and_measure(
    context: ProjectContext, model: Model, round_number: int
) -> tuple[Model, dict[str, Any]]:
    """Fit the temperature on validation set (a) and measure the model on every set.

    Every figure says how many labelled members it stands on; the temperature was fitted on
    validation (a), so that its calibration error is flattering there and honest elsewhere.
    """
    with context.database.read() as session:
        project = context.project()
        late = _late_members(session, project)
        members = queue.holdout_roles(session, project)
        rolling = rolling_validation(session, project, round_number)
    parts = {
        "test": {task for task, role in members.items() if role == "test"} - late,
        "supplement": {task for task, role in members.items() if role == "test"} & late,
        "validation": {task for task, role in members.items() if role == "validation"},
        "rolling": rolling - members.keys(),
    }
    splits = {name: labelled_tasks(context, tasks) for name, tasks in parts.items()}
    validation = splits["validation"]
    if len(validation.labels):
        temperature = fit_temperature(model.head.logits(validation.embeddings), validation.labels)
        model = replace(model, temperature=temperature)
    metrics: dict[str, Any] = {
        name: _measured(context, model, split) for name, split in splits.items()
    }
    metrics["control"] = control_figures(context, round_number)
    metrics["leak_guard"] = _guarded(context)
    metrics["temperature"] = model.temperature
    return model, metrics


def control_figures(context: ProjectContext, round_number: int) -> dict[str, Any]:
    """Validation set (c): how often the model in force was right on random control labels.

    `recent` is the mean over the draws of the last `control_rounds` rounds, `all` over all of them;
    each label counts for the model that did not know it. Only the longest prefix of the control
    that is answered, by whole groups, is used: what comes late is no worse for that.
    """
    classes = context.schema.classes
    with context.database.read() as session:
        project = context.project()
        resolved, skipped = _resolved_prefix(session, project)
        scores = [
            score
            for score in session.scalars(
                sa.select(ControlScore)
                .where(ControlScore.project_id == project.id, ControlScore.predicted.is_not(None))
                .order_by(ControlScore.task_id)
            )
            if score.task_id in resolved
        ]
        labels = _labels(session, project.id)
        kept = [score for score in scores if labels.get(score.task_id) in classes]
        groups = group_keys(session, project, [score.task_id for score in kept])
    hits = np.array([score.predicted == labels[score.task_id] for score in kept], dtype=np.bool_)
    recent = np.array(
        [score.round >= round_number - context.config.control_rounds for score in kept],
        dtype=np.bool_,
    )
    place = {name: number for number, name in enumerate(classes)}
    known = np.array([score.predicted in place for score in kept], dtype=np.bool_)
    truth = np.array([place[str(labels[score.task_id])] for score in kept], dtype=np.int64)
    said = np.array([place.get(str(score.predicted), -1) for score in kept], dtype=np.int64)
    return {
        "rounds": context.config.control_rounds,
        "recent": asdict(proportion(hits[recent], groups[recent])),
        "all": asdict(proportion(hits, groups)),
        "per_class": [
            asdict(found)
            for found in class_accuracies(truth[known], said[known], classes, groups[known])
        ],
        "skips": asdict(skip_bounds(int(hits.sum()), int((~hits).sum()), len(skipped))),
    }


def group_keys(session: Session, project: Project, task_ids: list[int]) -> npt.NDArray[np.str_]:
    """The group of each task by the era's rule, (n,) texts."""
    how = numbering(session, project)
    fields = read_fields(session, project.id) if how.group_by else {}
    return np.array([how.key(task, fields.get(task, {})) for task in task_ids], dtype=np.str_)


def labelled_validation(
    context: ProjectContext,
) -> tuple[LabelledTasks, npt.NDArray[np.str_]]:
    """The labelled tasks of validation set (a), and the group of each."""
    with context.database.read() as session:
        members = queue.holdout_roles(session, context.project())
    found = labelled_tasks(context, {t for t, role in members.items() if role == "validation"})
    with context.database.read() as session:
        return found, group_keys(session, context.project(), found.task_ids)


def _measured(context: ProjectContext, model: Model, split: LabelledTasks) -> dict[str, Any]:
    probabilities = (
        model.probabilities(split.embeddings)
        if len(split.labels)
        else np.zeros((0, len(model.classes)), dtype=np.float32)
    )
    figures = asdict(compute_metrics(probabilities, split.labels, model.classes))
    hits = probabilities.argmax(axis=1) == split.labels
    with context.database.read() as session:
        groups = group_keys(session, context.project(), split.task_ids)
    return {**figures, "interval": asdict(proportion(hits, groups))}


def _guarded(context: ProjectContext) -> dict[str, Any]:
    """What the leak guard keeps from training, of all embedded tasks that are no hold-outs."""
    guard = LeakGuard.of(context)
    with context.database.read() as session:
        project = context.project()
        members = queue.holdout_roles(session, project)
        fields = read_fields(session, project.id) if guard.how.group_by else {}
    tasks = {task: h for task, h in embedded_tasks(context).items() if task not in members}
    if not tasks:
        return report(guard, [], 0)
    hashes = list(tasks.values())
    reasons = guard.reasons(list(tasks), fields, hashes, context.cache.get(hashes))
    return report(guard, reasons, len(tasks))


def _late_members(session: Session, project: Project) -> set[int]:
    return set(
        session.scalars(
            sa.select(SplitMember.task_id).where(
                SplitMember.project_id == project.id,
                SplitMember.era == project.era,
                SplitMember.late,
            )
        )
    )


def _resolved_prefix(session: Session, project: Project) -> tuple[set[int], set[int]]:
    """The control's answered tasks before the first unanswered one, and those of them skipped."""
    drawn = session.execute(
        sa.select(SplitMember.task_id, SplitMember.u)
        .join(
            ControlDraw,
            sa.and_(
                ControlDraw.project_id == SplitMember.project_id,
                ControlDraw.task_id == SplitMember.task_id,
            ),
        )
        .join(
            Task,
            sa.and_(Task.project_id == SplitMember.project_id, Task.task_id == SplitMember.task_id),
        )
        .where(
            SplitMember.project_id == project.id,
            SplitMember.era == project.era,
            SplitMember.role == "control",
            # What was deleted is never answered, and holds nothing up.
            Task.deleted_at.is_(None),
        )
        .order_by(SplitMember.drawn_at, SplitMember.u, SplitMember.task_id)
    ).all()
    excluded = read_rule_book(session, project.id).excluded
    waiting = session.scalars(
        sa.select(Pick.task_id).where(Pick.project_id == project.id, Pick.state == "queued")
    )
    answered = annotated_task_ids(session, project.id) - set(waiting)
    prefix: set[int] = set()
    group: list[int] = []
    number = None
    for row in drawn:
        if row.u != number:
            prefix.update(group)
            group, number = [], row.u
        if row.task_id not in answered:
            if row.task_id in excluded:
                continue
            group = []
            break
        group.append(row.task_id)
    prefix.update(group)
    answers = session.scalars(
        sa.select(Annotation.task_id).where(
            Annotation.project_id == project.id,
            Annotation.deleted_at.is_(None),
            Annotation.cancelled.is_(False),
        )
    )
    # Only draws that a model could have been scored on are compared with those that were.
    early = session.scalars(
        sa.select(ControlDraw.task_id).where(
            ControlDraw.project_id == project.id, ControlDraw.round < 1
        )
    )
    return prefix, prefix - set(answers) - set(early)


def _labels(session: Session, project_id: int) -> dict[int, str | None]:
    rows = session.execute(
        sa.select(Label.task_id, Label.label).where(
            Label.project_id == project_id, Label.status == "settled"
        )
    )
    return {row.task_id: row.label for row in rows}
