"""Stopping advice: whether more labels are still worth their price, with the figures it rests on.

Advisory only, unless the admin lets it pause the stream: each sign can be wrong, and says so by its
figure.
"""

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
import sqlalchemy as sa

from backend.evaluation.clustered_proportion import proportion
from backend.evaluation.forecast import forecast
from backend.evaluation.looks import due_look, plan_looks
from backend.evaluation.quantiles import normal_quantile
from backend.evaluation.stopping import gain_per_100, predictions_stable, target_reached
from backend.models.artefact import DamagedModelError, Model, load_model
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.embedded import embedded_tasks
from backend.rounds.evaluate import labelled_validation
from backend.rounds.evaluation_plan import evaluation_plan
from backend.store.tables import Round

STOP_SET = 1_000
# Training labels at the first look at the target where there is no control.
FIRST_LOOK = 100
# Of earlier models at most so many are asked again.
MOST_MODELS = 16


def stopping_figures(
    context: ProjectContext, model: Model, trained_on: int, alpha: float | None
) -> dict[str, Any]:
    """The signs after this round's model; `alpha` is the error of a look, None where none is due.

    Every model is judged anew on the labels of validation set (a) that are there now, so that the
    points of the curve can be compared.
    """
    config = context.config
    if not trained_on:
        return {
            "signs": [],
            "advice": [],
            **dict.fromkeys(("stability", "gain", "forecast", "target")),
        }
    models = [*_earlier_models(context, model, trained_on), (trained_on, model)]
    labels = [count for count, _ in models]
    with context.database.read() as session:
        members = queue.holdout_roles(session, context.project())
    validation, groups = labelled_validation(context)
    hits = np.array(
        [
            one.probabilities(validation.embeddings).argmax(axis=1) == validation.labels
            if len(validation.labels)
            else np.zeros(0, dtype=np.bool_)
            for _, one in models
        ]
    )
    stop_set = context.cache.get(_stop_set(context, members))
    said = np.array(
        [
            one.probabilities(stop_set).argmax(axis=1) if len(stop_set) else np.zeros(0, np.int64)
            for _, one in models
        ]
    )
    half = len(models) // 2 if len(models) >= 10 else 0
    gain = gain_per_100(labels[half:], hits[half:], groups)
    stable = predictions_stable(labels, said)
    figures: dict[str, Any] = {
        "stability": asdict(stable),
        "gain": asdict(gain),
        "forecast": None,
        "target": None,
    }
    if len(validation.labels):
        accuracies = hits.mean(axis=1)
        newest = proportion(hits[-1], groups)
        # Wilson's: where nothing was wrong yet, something may be.
        spread = 0.5 if newest.low is None or newest.high is None else newest.high - newest.low
        spread /= 2 * normal_quantile(0.975)
        with context.database.read() as session:
            never = evaluation_plan(session, context.project()).never_train
        at = max(min(config.budget - never, 4 * trained_on), trained_on)
        figures["forecast"] = asdict(forecast(labels, accuracies.tolist(), at, spread))
    if alpha is None and not config.random_share:
        alpha = _look_without_control(context, trained_on)
    if config.target_accuracy is not None and alpha is not None:
        found = target_reached(hits[-1], config.target_accuracy, alpha, groups)
        figures["target"] = asdict(found)
    given = _advice(figures, config.least_gain)
    figures["signs"], figures["advice"] = list(given), list(given.values())
    return figures


def _look_without_control(context: ProjectContext, trained_on: int) -> float | None:
    """The error of a look at the target where no control plans the looks: each time that the
    training labels have doubled; None where that was not just now.
    """
    plan = plan_looks(FIRST_LOOK, context.config.budget)
    with context.database.read() as session:
        project = context.project()
        before = session.scalar(
            sa.select(sa.func.max(Round.trained_on)).where(
                Round.project_id == project.id,
                Round.started_at >= (project.holdout_drawn_at or 0.0),
                Round.state == "done",
            )
        )
    due = due_look(plan, trained_on, sum(at <= (before or 0) for at in plan.at))
    return None if due is None else plan.alphas[due]


def _advice(figures: dict[str, Any], least_gain: float | None) -> dict[str, str]:
    """What speaks for stopping, each sign with its figure in a sentence."""
    found = {}
    target = figures["target"]
    if target is not None and target["reached"]:
        found["target"] = (
            f"The accuracy has reached {target['target']:.3f}: its lower bound is "
            f"{target['accuracy']['low']:.3f}."
        )
    stability = figures["stability"]
    if stability["stable"]:
        found["stability"] = (
            "Predictions have stabilised: models 10% of the labels apart agree with kappa "
            f"{stability['kappa']:.3f}."
        )
    gain = figures["gain"]
    if least_gain is not None and gain["upper"] is not None and gain["upper"] < least_gain / 100:
        found["gain"] = (
            f"100 more labels gain at most {100 * gain['upper']:.2f} points, less than the "
            f"{least_gain:g} asked for."
        )
    return found


def _earlier_models(
    context: ProjectContext, model: Model, trained_on: int
) -> list[tuple[int, Model]]:
    """Models of finished rounds that compare with this one, spread over the label counts."""
    with context.database.read() as session:
        since = context.project().holdout_drawn_at or 0.0
        rows = session.execute(
            sa.select(Round.number, Round.trained_on)
            .where(
                Round.project_id == context.project_id,
                # Models of an earlier era may have trained on what validates now.
                Round.started_at >= since,
                Round.state == "done",
                Round.trained_on < trained_on,
                Round.trained_on > 0,
            )
            .order_by(Round.trained_on, Round.number)
        ).all()
    newest = {row.trained_on: row.number for row in rows}
    counts = sorted(newest)
    if len(counts) > MOST_MODELS:
        kept = np.unique(np.linspace(0, len(counts) - 1, MOST_MODELS).round().astype(int))
        counts = [counts[place] for place in kept]
    found = []
    for count in counts:
        folder = context.model_dir(newest[count])
        if not folder.exists():
            continue
        try:
            earlier = load_model(folder)
        except DamagedModelError:
            continue
        fits = earlier.encoder_fingerprint == model.encoder_fingerprint
        if fits and earlier.classes == model.classes:
            found.append((count, earlier))
    return found


def _stop_set(context: ProjectContext, members: dict[int, Any]) -> list[bytes]:
    """Contents of up to 1,000 random tasks, the same ones at every round while they are there.

    Random by a hash of the task's number: the permanent random number serves nothing else.
    """
    tasks = {task: h for task, h in embedded_tasks(context).items() if task not in members}
    ranked = sorted(tasks, key=lambda task: hashlib.blake2b(f"stop set {task}".encode()).digest())
    return [tasks[task] for task in ranked[:STOP_SET]]
