"""Sensitivity and specificity of each class, with intervals, where enough was labelled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_proportion import Proportion, proportion

FEWEST = 10  # positives, for a sensitivity; negatives, for a specificity


@dataclass(frozen=True)
class ClassAccuracy:
    """One class against all others; a figure that rests on too few items is None with a reason.

    sensitivity   share of the class's own items that were called by its name (recall)
    specificity   share of the other items that were not
    """

    name: str
    positives: int
    sensitivity: Proportion
    specificity: Proportion


def class_accuracies(
    truth: NDArray[np.integer],
    predicted: NDArray[np.integer],
    classes: Sequence[str],
    groups: NDArray[Any] | None = None,
    level: float = 0.95,
) -> tuple[ClassAccuracy, ...]:
    """Sensitivity and specificity of every class, from labels (n,) in 0..c-1 and predictions (n,).

    Intervals as in `proportion`, by group; under 10 positives (negatives) there is no sensitivity
    (specificity) but the words "too few". Raises ValueError where the shapes do not fit.
    """
    true, said = np.asarray(truth), np.asarray(predicted)
    if true.shape != said.shape or true.ndim != 1:
        raise ValueError(f"truth {true.shape} and predictions {said.shape}: give one each an item")
    if len(true) and not (true.min() >= 0 and true.max() < len(classes)):
        raise ValueError(f"truth: expected numbers of the {len(classes)} classes")

    def among(chosen: NDArray[np.bool_], hits: NDArray[np.bool_], what: str) -> Proportion:
        part = None if groups is None else np.asarray(groups)[chosen]
        found = proportion(hits[chosen], part, level)
        if found.items >= FEWEST:
            return found
        reason = f"too few: {found.items} {what}, {FEWEST} are needed"
        return replace(found, value=None, low=None, high=None, effective_items=None, reason=reason)

    return tuple(
        ClassAccuracy(
            name,
            int((true == index).sum()),
            among(true == index, said == index, "labelled items of this class"),
            among(true != index, said != index, "labelled items of other classes"),
        )
        for index, name in enumerate(classes)
    )
