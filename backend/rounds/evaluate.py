"""Measuring a round's model on every set that it has not seen, each for its own use.

Test (sealed), validation (a), its like from late tasks, validation (b) of the strategy's own blind
picks, and validation (c): the random control, whose labels scored the model in force before any
model trained on them.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.evaluation.class_accuracy import class_accuracies
from backend.evaluation.clustered_proportion import proportion
from backend.evaluation.covariates import differences_to_rest
from backend.evaluation.metrics import compute_metrics
from backend.evaluation.prediction_powered import prediction_powered
from backend.evaluation.rank_correlation import rank_correlation
from backend.evaluation.skip_bounds import skip_bounds
from backend.models.artefact import Model
from backend.models.calibration import fit_temperature
from backend.rounds import queue
from backend.rounds.answered_prefix import AnsweredPrefix, answered_prefix
from backend.rounds.context import ProjectContext
from backend.rounds.embedded import embedded_tasks
from backend.rounds.fields import read_fields
from backend.rounds.labels import labels_to_measure_by
from backend.rounds.leak_guard import LeakGuard, report
from backend.rounds.near_examples import comparison
from backend.rounds.numbering import numbering
from backend.rounds.reserve import reserve
from backend.rounds.train import LabelledTasks, measured_tasks
from backend.rounds.training_set import rolling_validation
from backend.store.evaluation_tables import ControlScore
from backend.store.tables import Pick, Project, TrainingManifest

# With fewer blind picks a correlation is chance.
FEWEST_TO_CORRELATE = 10


def calibrate_and_measure(
    context: ProjectContext, model: Model, round_number: int
) -> tuple[Model, dict[str, Any]]:
    """Fit the temperature on validation set (a) and measure the model on every set.

    Every figure says how many labelled members it stands on. Test, its supplement and validation
    (a) count up to the first unanswered member in order of chance: which members beyond it have a
    label is no matter of chance. The temperature was fitted on validation (a), so that its
    calibration error is flattering there and honest elsewhere.
    """
    with context.database.read() as session:
        project = context.project()
        members = queue.holdout_roles(session, project)
        rolling = rolling_validation(session, project, round_number) - members.keys()
        prefixes = {
            "test": answered_prefix(session, project, "test", late=False),
            "supplement": answered_prefix(session, project, "test", late=True),
            "validation": answered_prefix(session, project, "validation", late=False),
        }
    splits = {name: measured_tasks(context, part.answered) for name, part in prefixes.items()}
    validation = splits["validation"]
    if len(validation.labels):
        temperature = fit_temperature(model.head.logits(validation.embeddings), validation.labels)
        model = replace(model, temperature=temperature)
    metrics: dict[str, Any] = {}
    for name, split in splits.items():
        figures = _measured(context, model, split)
        metrics[name] = {**figures, **_unmeasured(context, figures["interval"], prefixes[name])}
    blind = measured_tasks(context, rolling)
    metrics["rolling"] = {
        **_measured(context, model, blind),
        "predicted_loss_correlation": _loss_correlation(model, blind),
    }
    metrics["control"] = control_figures(context, model, round_number)
    metrics["leak_guard"] = _guarded(context)
    metrics["temperature"] = model.temperature
    return model, metrics


def control_figures(context: ProjectContext, model: Model, round_number: int) -> dict[str, Any]:
    """Validation set (c): how often the model in force was right on random control labels.

    `recent` is the mean over the draws of the last `control_rounds` rounds, `all` over all of them;
    each label counts for the model that did not know it. Only the longest prefix of the control
    that is answered, by whole groups, is used: what comes late is no worse for that.

    `powered` are the same two means with the help of what the models said of random tasks without a
    label (`model` gives how much its confidence varies there).
    """
    classes = context.schema.classes
    with context.database.read() as session:
        project = context.project()
        prefix = answered_prefix(session, project, "control")
        skipped = _scored_skips(session, project, prefix.unresolved)
        scores = [
            score
            for score in session.scalars(
                sa.select(ControlScore)
                .where(ControlScore.project_id == project.id, ControlScore.predicted.is_not(None))
                .order_by(ControlScore.task_id)
            )
            if score.task_id in prefix.answered
        ]
        labels = labels_to_measure_by(session, project)
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
    powered = _powered(context, model, kept, hits, groups)
    return {
        "rounds": context.config.control_rounds,
        "recent": asdict(proportion(hits[recent], groups[recent])),
        "all": asdict(proportion(hits, groups)),
        "powered": {"recent": powered(recent), "all": powered(np.ones_like(recent))},
        "per_class": [
            asdict(found)
            for found in class_accuracies(truth[known], said[known], classes, groups[known])
        ],
        "skips": asdict(skip_bounds(int(hits.sum()), int((~hits).sum()), skipped)),
    }


def _powered(
    context: ProjectContext,
    model: Model,
    scores: list[ControlScore],
    hits: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.str_],
) -> Callable[[npt.NDArray[np.bool_]], dict[str, Any]]:
    """Prediction-powered means of some of the scores.

    Each label's confidence is taken as the difference to what the same model thought of the reserve
    on average, so that models of several rounds go into one mean.
    """
    rest = reserve(context, model)
    with context.database.read() as session:
        others = group_keys(session, context.project(), rest.task_ids)
    usable = np.array([score.reserve_confidence is not None for score in scores], dtype=np.bool_)
    surer = np.array(
        [max(s.given.values(), default=0.0) - (s.reserve_confidence or 0.0) for s in scores]
    )
    centred = rest.confidence - (rest.mean or 0.0)

    def of(chosen: npt.NDArray[np.bool_]) -> dict[str, Any]:
        part = chosen & usable
        return asdict(
            prediction_powered(
                hits[part],
                surer[part],
                centred,
                groups=groups[part],
                unlabelled_groups=others,
                pool_size=rest.pool_size,
            )
        )

    return of


def group_keys(session: Session, project: Project, task_ids: list[int]) -> npt.NDArray[np.str_]:
    """The group of each task by the era's rule, (n,) texts."""
    how = numbering(session, project)
    fields = read_fields(session, project.id) if how.group_by else {}
    return np.array([how.key(task, fields.get(task, {})) for task in task_ids], dtype=np.str_)


def labelled_validation(
    context: ProjectContext,
) -> tuple[LabelledTasks, npt.NDArray[np.str_]]:
    """The labelled tasks of validation set (a)'s answered prefix, and the group of each.

    Lift, the stopping signs and the target are claims about the pool: they need a random sample as
    much as the accuracy does.
    """
    with context.database.read() as session:
        prefix = answered_prefix(session, context.project(), "validation", late=False)
    found = measured_tasks(context, prefix.answered)
    with context.database.read() as session:
        return found, group_keys(session, context.project(), found.task_ids)


def _loss_correlation(model: Model, split: LabelledTasks) -> float | None:
    """Spearman's rank correlation of predicted and real losses, None where either says nothing.

    On blind picks of the strategy, which are what the loss-prediction head has to rank.
    """
    if model.loss_head is None or len(split.labels) < FEWEST_TO_CORRELATE:
        return None
    probabilities = model.probabilities(split.embeddings)
    predicted = model.loss_head.predict(split.embeddings, probabilities)
    given = probabilities[np.arange(len(split.labels)), split.labels]
    return rank_correlation(predicted, -np.log(np.maximum(given, 1e-12)))


def _measured(context: ProjectContext, model: Model, split: LabelledTasks) -> dict[str, Any]:
    probabilities = _probabilities(model, split)
    figures = asdict(compute_metrics(probabilities, split.labels, model.classes))
    hits = np.asarray(probabilities.argmax(axis=1) == split.labels)
    with context.database.read() as session:
        groups = group_keys(session, context.project(), split.task_ids)
    return {**figures, "interval": asdict(proportion(hits, groups))}


def _unmeasured(
    context: ProjectContext, measured: dict[str, Any], prefix: AnsweredPrefix
) -> dict[str, Any]:
    """What a figure does not hold: the prefix's skips, and labelled members beyond the prefix."""
    right = measured["hits"]
    skips = skip_bounds(right, measured["items"] - right, len(prefix.unresolved))
    beyond = len(measured_tasks(context, prefix.beyond).labels)
    return {"skips": asdict(skips), "beyond_prefix": beyond}


def hits_on(model: Model, split: LabelledTasks) -> npt.NDArray[np.bool_]:
    """(n,) whether the model says each task's label."""
    return np.asarray(_probabilities(model, split).argmax(axis=1) == split.labels)


def _probabilities(model: Model, split: LabelledTasks) -> npt.NDArray[np.floating[Any]]:
    if not len(split.labels):
        return np.zeros((0, len(model.classes)), dtype=np.float32)
    return model.probabilities(split.embeddings)


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
    embeddings = context.cache.get(hashes)
    reasons = guard.reasons(list(tasks), fields, hashes, embeddings)
    blocked = np.flatnonzero([reason is not None for reason in reasons])
    shift = None
    if len(blocked):
        pool, place = comparison(context, list(tasks), embeddings, blocked)
        found = differences_to_rest(pool, place[blocked])
        shift = asdict(found[0]) if found else None
    return {**report(guard, reasons, len(tasks)), "shift": shift}


def _scored_skips(session: Session, project: Project, skipped: frozenset[int]) -> int:
    """Skipped draws that a model could have been scored on: only those compare with the scored."""
    first_model = session.scalar(
        sa.select(sa.func.min(TrainingManifest.created_at)).where(
            TrainingManifest.project_id == project.id
        )
    )
    if first_model is None:
        return 0
    resolved = {
        row.task_id: row.at
        for row in session.execute(
            sa.select(Pick.task_id, sa.func.max(Pick.resolved_at).label("at"))
            .where(Pick.project_id == project.id, Pick.state == "resolved")
            .group_by(Pick.task_id)
        )
    }
    return sum(resolved.get(task, first_model) >= first_model for task in skipped)
