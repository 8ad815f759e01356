"""submodlib-py: facility location, lazy greedy in C++, on a dense kernel."""

from collections.abc import Callable
from typing import Any

import numpy as np

# Its check of the kernel's type names a place that SciPy has given up.
import scipy.sparse
from submodlib import FacilityLocationFunction

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job


def _facility_location(arrays: Arrays, job: Job) -> Callable[[], Any]:
    points = np.array(arrays.embeddings)
    if not hasattr(scipy.sparse, "csr"):
        scipy.sparse.csr = scipy.sparse

    def call() -> Any:
        function = FacilityLocationFunction(
            n=len(points), mode="dense", separate_rep=False, sijs=points @ points.T
        )
        found = function.maximize(job.size, optimizer="LazyGreedy", show_progress=False)
        return [index for index, _ in found]

    return call


CONTENDERS = {"facility_location": _facility_location}
