"""cardinal 0.0.9: its uncertainty samplers, on predictions that are there already."""

from collections.abc import Callable
from typing import Any

import numpy as np
from cardinal.uncertainty import ConfidenceSampler, EntropySampler, MarginSampler

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job


def _sampler(kind: Callable[..., Any]) -> Callable[[Arrays, Job], Callable[[], Any]]:
    def contender(arrays: Arrays, job: Job) -> Callable[[], Any]:
        probabilities = np.array(arrays.probabilities)
        return lambda: kind("precomputed", job.size).select_samples(probabilities)

    return contender


CONTENDERS = {
    "margin": _sampler(MarginSampler),
    "entropy": _sampler(EntropySampler),
    "least_confidence": _sampler(ConfidenceSampler),
}
