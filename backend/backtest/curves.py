"""Learning curves of runs, split into what each group of test items contributes to them.

Accuracy is a mean over items; macro-F1 is made one by its influence function, so that both are
resampled by items alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.backtest.runs import Outcome

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """One strategy's curves over r seeds and p points, in 0..1.

    accuracy, macro_f1          (r, p)
    hits                        (r, p, g) right predictions of each group of test items
    accuracy_areas, f1_areas    (r, g) each group's sum of contributions to the area
    counts                      (r, g) its test items in each seed

    An area is the mean height over the labels, by trapezia: areas.sum(axis=1) / counts.sum(axis=1).
    """

    accuracy: Floats
    macro_f1: Floats
    hits: Floats
    accuracy_areas: Floats
    f1_areas: Floats
    counts: Floats


def curves_of(
    outcomes: Sequence[Outcome],
    labels: NDArray[np.int64],
    units: NDArray[np.int64],
    points: Sequence[int],
) -> Curves:
    """The curves of a strategy's outcomes, one a seed.

    `labels` (n,) are the true classes of the data's rows, `units` (n,) the groups of rows, numbered
    0..g-1 where they test at all and -1 elsewhere.
    """
    groups = int(units.max()) + 1
    shape = (len(outcomes), len(points))
    accuracy, macro_f1 = np.empty(shape), np.empty(shape)
    hits = np.zeros((*shape, groups))
    areas = np.zeros((2, len(outcomes), groups))
    counts = np.zeros((len(outcomes), groups))
    heights = area_weights(points)
    for seed, outcome in enumerate(outcomes):
        truth, of_group = labels[outcome.test], units[outcome.test]
        right = (outcome.predictions == truth).astype(np.float64)
        f1 = np.array([macro_f1_parts(said, truth) for said in outcome.predictions])
        accuracy[seed], macro_f1[seed] = right.mean(axis=1), f1.mean(axis=1)
        counts[seed] = np.bincount(of_group, minlength=groups)
        for point in range(len(points)):
            hits[seed, point] = np.bincount(of_group, right[point], minlength=groups)
        for area, parts in zip(areas, (right, f1), strict=True):
            area[seed] = np.bincount(of_group, heights @ parts, minlength=groups)
    return Curves(accuracy, macro_f1, hits, areas[0], areas[1], counts)


def area_weights(points: Sequence[int]) -> Floats:
    """(p,) weights with sum 1 that turn a curve's heights into its mean height, by trapezia."""
    steps = np.diff(np.asarray(points, dtype=np.float64))
    if not len(steps):
        return np.ones(1)
    weights: Floats = np.zeros(len(points))
    weights[:-1] += steps / 2
    weights[1:] += steps / 2
    weights /= steps.sum()
    return weights


def macro_f1_parts(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> Floats:
    """(t,) numbers whose mean is the macro-F1: it plus t times each item's influence on it.

    As in `compute_metrics`, the mean goes over the classes that occur among the true or the
    predicted labels. Of F_c = 2 tp_c / (true_c + said_c) item i's influence is
        (2 [y_i = p_i = c] - F_c ([y_i = c] + [p_i = c])) / (true_c + said_c).
    """
    classes = int(max(predicted.max(), truth.max())) + 1
    right = predicted == truth
    tp = np.bincount(truth[right], minlength=classes)
    both = np.bincount(truth, minlength=classes) + np.bincount(predicted, minlength=classes)
    occurs = both > 0
    safe = np.maximum(both, 1)
    f1 = 2 * tp / safe
    ratio = f1 / safe
    influence = 2 * right / safe[truth] - ratio[truth] - ratio[predicted]
    share = len(truth) / occurs.sum()
    parts: Floats = f1[occurs].mean() + share * influence
    return parts
