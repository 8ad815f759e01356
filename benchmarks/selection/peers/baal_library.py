"""baal 2.1: its heuristics rank all items; the first are the batch."""

from collections.abc import Callable
from typing import Any

import numpy as np
from baal.active.heuristics import BALD, Certainty, Entropy, Margin

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job


def _heuristic(make: Callable[[], Any]) -> Callable[[Arrays, Job], Callable[[], Any]]:
    def contender(arrays: Arrays, job: Job) -> Callable[[], Any]:
        # (n, c, iterations)
        predictions = np.array(arrays.probabilities)[:, :, None]
        return lambda: make()(predictions)[: job.size]

    return contender


def _bald(arrays: Arrays, job: Job) -> Callable[[], Any]:
    predictions = np.ascontiguousarray(np.moveaxis(arrays.members, 0, 2))
    return lambda: BALD()(predictions)[: job.size]


CONTENDERS = {
    "margin": _heuristic(Margin),
    "entropy": _heuristic(Entropy),
    "least_confidence": _heuristic(Certainty),
    "bald": _bald,
}
