"""Test, then train: a control label scores only models that had not seen it.

Scoring a model on control labels that it trained on flatters it; keeping them out of training
wastes them. In between: each label scores the newest model trained before the label was given, and
trains the next one (prequential evaluation: Dawid 1984, JRSS A 147; Gama et al. 2013).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_proportion import Proportion, proportion


def scoring_versions(
    given: NDArray[np.number[Any]], trained: NDArray[np.number[Any]]
) -> NDArray[np.int64]:
    """For each label the newest model version that may be scored on it, -1 where there is none.

    given     (n,) when each control label was given: any clock or counter that both share
    trained   (v,) up to when labels went into each version, in increasing order
    returns   (n,) int64 in -1..v-1: the last version with trained < given. At equality the label
              may have been in the training set, and an older version is taken.

    Raises ValueError where the versions are not in order.
    """
    cuts = np.asarray(trained)
    if np.any(np.diff(cuts) < 0):
        raise ValueError("trained: give the versions in the order in which they were trained")
    return np.searchsorted(cuts, np.asarray(given), side="left").astype(np.int64) - 1


def rolling_accuracy(
    hits: NDArray[np.bool_],
    rounds: NDArray[np.integer],
    groups: NDArray[Any] | None = None,
    last: int = 5,
    level: float = 0.95,
) -> Proportion:
    """The mean over the control draws of the last `last` >= 1 rounds, each scored before training.

    hits     (n,) whether the version of `scoring_versions` was right; leave out labels without one
    rounds   (n,) the round whose draw each label belongs to

    It is the accuracy of the models in force during those rounds, so a little behind the newest.
    Interval as in `proportion`. Rounds count by their numbers: a round without a draw still passes.
    """
    if last < 1:
        raise ValueError("last: expected at least one round")
    right, numbers = np.asarray(hits, dtype=bool), np.asarray(rounds)
    if right.shape != numbers.shape:
        raise ValueError(f"hits {right.shape} and rounds {numbers.shape}: give one each a label")
    recent = numbers > numbers.max() - last if len(numbers) else np.zeros(0, dtype=bool)
    part = None if groups is None else np.asarray(groups)[recent]
    return proportion(right[recent], part, level)
