"""modAL (modAL-python 0.4)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from modAL.uncertainty import entropy_sampling, margin_sampling, uncertainty_sampling

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job


class _Stored:
    """A classifier whose prediction for an item is the item."""

    def predict_proba(self, probabilities: Any) -> Any:
        return probabilities


def _sampling(function: Callable[..., Any]) -> Callable[[Arrays, Job], Callable[[], Any]]:
    def contender(arrays: Arrays, job: Job) -> Callable[[], Any]:
        probabilities = np.array(arrays.probabilities)
        return lambda: function(_Stored(), probabilities, n_instances=job.size)[0]

    return contender


CONTENDERS = {
    "margin": _sampling(margin_sampling),
    "entropy": _sampling(entropy_sampling),
    "least_confidence": _sampling(uncertainty_sampling),
}
