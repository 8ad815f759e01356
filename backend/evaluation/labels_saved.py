"""Labels saved: how many fewer of the queue's labels reach the level of all control labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_variance import group_numbers

FURTHEST = 2  # times the control labels: no curve is followed beyond
FEWEST_REFITS = 20


@dataclass(frozen=True)
class LabelsSaved:
    """1 - n_s/|C|: negative where the queue needs more labels than the control, at least -1.

    needed   n_s, the queue's labels that first reach the level of the |C| control labels; None
             where 2|C| do not: the share is then -1, which stands for -1 or less
    level    that level, the accuracy with all control labels
    reason   why there is no share, no interval, or no number needed
    """

    share: float | None
    low: float | None
    high: float | None
    needed: float | None
    control_labels: int
    level: float | None
    reason: str | None


def labels_saved(
    sizes: Sequence[int],
    strategy_hits: NDArray[np.bool_],
    control_hits: NDArray[np.bool_],
    control_labels: int,
    groups: NDArray[Any] | None = None,
    *,
    confidence: float = 0.95,
    draws: int = 500,
    seed: int = 0,
) -> LabelsSaved:
    """The share of labels saved at the level of all |C| control labels, on validation set (a).

    sizes           (p,) increasing numbers of the queue's labels, 0 (the bare start) first; those
                    beyond 2|C| are ignored, and without one at 2|C| less far is seen
    strategy_hits   (r, p, n) whether the model on the start and the first sizes[j] of the queue's
                    labels is right on item i; refit 0 on the labels as they came, the others on
                    blocks of rounds drawn with replacement
    control_hits    (r, n) the same for the start and all |C| control labels of each refit
    groups          (n,) of the items

    The mean accuracy over the sizes is made monotone by least squares (a running maximum would
    take each lucky fit for progress) and read linearly between them. Interval: percentiles over
    `draws`, each a refit and a draw of item groups with replacement. A curve that does not get
    there within 2|C| counts as -1: left out, it would make a saving of mere chance. None with a
    reason: below 20 refits the interval, because one over items alone takes the luck of a few
    labels for skill; without items, and where the control labels have not raised the level,
    everything. Raises ValueError for shapes that do not fit.
    """
    points = np.asarray(sizes, dtype=np.float64)
    strategy, control = np.asarray(strategy_hits), np.asarray(control_hits)
    if strategy.ndim != 3 or control.shape != (strategy.shape[0], strategy.shape[2]):
        raise ValueError(
            f"strategy {strategy.shape} and control {control.shape}: give (refits, sizes, items) "
            "and (refits, items)"
        )
    if len(points) != strategy.shape[1] or len(points) == 0 or np.any(np.diff(points) <= 0):
        raise ValueError(f"sizes: give {strategy.shape[1]} increasing numbers, one a curve point")
    seen = points <= FURTHEST * control_labels
    points, strategy = points[seen], strategy[:, seen].astype(np.float64)
    control = control.astype(np.float64)
    refits, items = control.shape
    if min(refits, items, control_labels, len(points)) == 0:
        return LabelsSaved(
            None, None, None, None, control_labels, None, "nothing is there to compare yet"
        )
    level = float(control[0].mean())
    curve = monotone(strategy[0].mean(axis=1))
    if curve[0] >= level:
        reason = "the control labels have not raised the level above the start"
        return LabelsSaved(None, None, None, None, control_labels, level, reason)
    needed = first_reach(points, curve, level)
    share = -1.0 if needed is None else 1 - needed / control_labels
    reasons = []
    if needed is None:
        reasons.append("the level is not reached within twice the control labels: -1 or less")
    if refits < FEWEST_REFITS:
        reasons.append(f"no interval: {refits} refits on redrawn labels, {FEWEST_REFITS} needed")
        return LabelsSaved(share, None, None, needed, control_labels, level, "; ".join(reasons))
    rng = np.random.default_rng(seed)
    numbers = group_numbers(groups, items)
    count = int(numbers.max()) + 1
    found = np.empty(draws)
    for draw in range(draws):
        refit = draw % refits
        weights = np.bincount(rng.integers(count, size=count), minlength=count)[numbers]
        weights = weights / weights.sum()
        reached = first_reach(
            points, monotone(strategy[refit] @ weights), float(control[refit] @ weights)
        )
        found[draw] = -1.0 if reached is None else 1 - reached / control_labels
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    low, high = min(float(low), share), max(float(high), share)
    return LabelsSaved(share, low, high, needed, control_labels, level, "; ".join(reasons) or None)


def monotone(curve: NDArray[np.floating]) -> NDArray[np.float64]:
    """The non-decreasing curve (p,) nearest to `curve` in squares: pool adjacent violators.

    Source: Barlow et al. 1972, Statistical Inference under Order Restrictions, 1.2.
    """
    means: list[float] = []
    lengths: list[int] = []
    for value in curve:
        mean, length = float(value), 1
        while means and means[-1] >= mean:
            before, reach = means.pop(), lengths.pop()
            mean = (before * reach + mean * length) / (reach + length)
            length += reach
        means.append(mean)
        lengths.append(length)
    return np.repeat(np.array(means, dtype=np.float64), lengths)


def first_reach(
    points: NDArray[np.float64], curve: NDArray[np.float64], level: float
) -> float | None:
    """The smallest number of labels at which a non-decreasing curve has `level`, None if never."""
    above = np.flatnonzero(curve >= level)
    if not len(above):
        return None
    place = int(above[0])
    if place == 0:
        return float(points[0])
    low, high = float(curve[place - 1]), float(curve[place])
    step = float(points[place] - points[place - 1])
    return float(points[place - 1]) + step * (level - low) / (high - low)
