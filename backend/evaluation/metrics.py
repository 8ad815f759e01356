"""How good a model's probabilities are on labelled examples it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.models.calibration import expected_calibration_error


@dataclass(frozen=True)
class ClassMetrics:
    """One class: `support` true examples; a ratio whose denominator is 0 is None."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class Metrics:
    """Metrics on `labelled` examples; the figures are None when there are none.

    `macro_f1` is the mean F1 over the classes that occur among the true or the predicted labels: a
    class that neither holds says nothing about the model. `confusion[t][p]` counts examples of
    true class t predicted as p.
    """

    accuracy: float | None
    macro_f1: float | None
    expected_calibration_error: float | None
    labelled: int
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]


def compute_metrics(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], classes: Sequence[str]
) -> Metrics:
    """Metrics of probabilities (n, c) against labels (n,) in 0..c-1; n = 0 is fine.

    Raises ValueError for shapes or labels that do not fit.
    """
    values = np.asarray(probabilities)
    targets = np.asarray(labels, dtype=np.int64)
    count = len(classes)
    if values.shape != (len(targets), count) or targets.ndim != 1:
        raise ValueError(
            f"probabilities {values.shape} do not fit {len(targets)} labels and {count} classes"
        )
    if len(targets) and not (targets.min() >= 0 and targets.max() < count):
        raise ValueError(f"labels: expected 0..{count - 1}")
    predicted = values.argmax(axis=1) if len(targets) else targets
    confusion = np.bincount(targets * count + predicted, minlength=count * count)
    confusion = confusion.reshape(count, count)
    hits, true, said = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    per_class = tuple(
        ClassMetrics(
            name,
            _ratio(hits[index], said[index]),
            _ratio(hits[index], true[index]),
            _ratio(2 * hits[index], true[index] + said[index]),
            int(true[index]),
        )
        for index, name in enumerate(classes)
    )
    scores = [one.f1 for one in per_class if one.f1 is not None]
    labelled = len(targets)
    return Metrics(
        accuracy=_ratio(hits.sum(), labelled),
        macro_f1=sum(scores) / len(scores) if scores else None,
        expected_calibration_error=(
            expected_calibration_error(values, targets) if labelled else None
        ),
        labelled=labelled,
        per_class=per_class,
        confusion=tuple(tuple(int(cell) for cell in row) for row in confusion),
    )


def _ratio(part: float | np.integer, whole: float | np.integer) -> float | None:
    return float(part) / float(whole) if whole else None
