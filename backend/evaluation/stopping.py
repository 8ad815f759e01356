"""Signs that more labels are not worth their price; each is a figure, and none decides."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.agreement import cohens_kappa
from backend.evaluation.clustered_proportion import Proportion, proportion
from backend.evaluation.clustered_variance import clustered_variance, least_variance
from backend.evaluation.quantiles import student_quantile

STABLE_KAPPA = 0.99
STEP = 0.1  # of the labels, between the two models that are compared
FEWEST_MODELS = 5


@dataclass(frozen=True)
class Target:
    """Whether the accuracy's lower bound has reached what was asked; None where it is unknown."""

    target: float
    reached: bool | None
    accuracy: Proportion


@dataclass(frozen=True)
class Stability:
    """Agreement of models 10 % of the labels apart: the mean kappa of the last comparisons."""

    kappa: float | None
    kappas: tuple[float, ...]
    threshold: float
    stable: bool | None
    reason: str | None


@dataclass(frozen=True)
class Gain:
    """Accuracy gained by 100 more labels, over the last models; `upper` bounds it from above."""

    per_100: float | None
    upper: float | None
    models: int
    alpha: float
    reason: str | None


def target_reached(
    hits: NDArray[np.bool_], target: float, alpha: float, groups: NDArray[Any] | None = None
) -> Target:
    """Has the accuracy reached `target`: is the lower bound of its interval at least that?

    hits (n,) on set (a), at a look of `LookPlan` with its alpha: the interval has level 1 - alpha,
    so that the lower bound alone errs with half of it. Raises ValueError as `proportion` does.
    """
    accuracy = proportion(hits, groups, 1 - alpha)
    reached = None if accuracy.low is None else accuracy.low >= target
    return Target(target, reached, accuracy)


def predictions_stable(
    labels: Sequence[int],
    predictions: NDArray[np.integer],
    threshold: float = STABLE_KAPPA,
    window: int = 3,
) -> Stability:
    """Do models still change their minds on a fixed random stop set?

    labels        (v,) labels that each model was trained on, increasing
    predictions   (v, n) the classes that each gave to the stop set

    Each of the last `window` models is compared with the newest that had at most 90 % of its
    labels; stable where the mean of Cohen's kappas reaches `threshold`. Where two models give one
    and the same class to everything they agree, kappa 1. The step is fixed because kappa rises by
    itself as models come closer to each other; with noisy labels 0.99 may never be reached.
    Source: Bloodgood and Vijay-Shanker 2009, arXiv 1409.5165. Raises ValueError for labels that do
    not increase or do not fit.
    """
    counts, said = np.asarray(labels), np.asarray(predictions)
    _check_models(counts, said)
    kappas: list[float] = []
    for late in range(max(0, len(counts) - window), len(counts)):
        early = int(np.searchsorted(counts, (1 - STEP) * counts[late], side="right")) - 1
        if early < 0 or said.shape[1] == 0:
            continue
        found = cohens_kappa(said[early], said[late])
        kappas.append(1.0 if found.kappa is None else found.kappa)
    if len(kappas) < window:
        reason = f"too few: {len(kappas)} comparisons 10% of the labels apart, {window} are needed"
        return Stability(None, tuple(kappas), threshold, None, reason)
    mean = sum(kappas) / len(kappas)
    return Stability(mean, tuple(kappas), threshold, mean >= threshold, None)


def gain_per_100(
    labels: Sequence[int],
    hits: NDArray[np.bool_],
    groups: NDArray[Any] | None = None,
    alpha: float = 0.05,
) -> Gain:
    """The slope of accuracy over the last models, per 100 labels, and its upper bound.

    labels   (v,) labels of the last v >= 5 models, increasing (the newest half of a project's)
    hits     (v, n) whether each was right on the items of set (a)

    slope = Σ_t w_t·acc_t, w_t = (n_t - mean)/Σ(n - mean)²; its variance is that of the mean over
    items of Σ_t w_t·hit_ti, by group and not below what half an item would make of it, plus that of
    acc_t around the line, s²·Σ w_t² with v - 2 degrees of freedom. upper = slope +
    t_{1-alpha}·sqrt(variance), one-sided. Learning curves flatten, so that what was gained lately
    is rather more than what will be. Raises ValueError as `predictions_stable`.
    """
    counts, right = np.asarray(labels, dtype=np.float64), np.asarray(hits, dtype=np.float64)
    _check_models(counts, right)
    models = len(counts)
    if models < FEWEST_MODELS:
        reason = f"too few: {models} models, {FEWEST_MODELS} are needed"
        return Gain(None, None, models, alpha, reason)
    centred = counts - counts.mean()
    weights = centred / float(centred @ centred)
    by_item = weights @ right
    over_items = clustered_variance(by_item, groups)
    if over_items.variance is None:
        return Gain(None, None, models, alpha, "the validation set has one group, or nothing")
    accuracy = right.mean(axis=1)
    slope = float(weights @ accuracy)
    left = accuracy - accuracy.mean() - slope * centred
    around = float(left @ left) / (models - 2) * float(weights @ weights)
    rise = float(weights[weights > 0].sum())  # of an item that only the later models have right
    least = rise**2 * least_variance(over_items.effective_groups)
    by_items = max(over_items.variance, least)
    half = student_quantile(1 - alpha, models - 2) * math.sqrt(by_items + around)
    return Gain(100 * slope, 100 * (slope + half), models, alpha, None)


def _check_models(counts: NDArray[Any], rows: NDArray[Any]) -> None:
    if rows.ndim != 2 or len(counts) != len(rows):
        raise ValueError(f"{len(counts)} label counts and rows {rows.shape}: give (models, items)")
    if np.any(np.diff(counts) <= 0):
        raise ValueError("labels: give the models in the order of their labels, each with more")
