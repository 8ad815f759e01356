"""Entropies of rows of probabilities."""

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats


def entropies(distributions: Floats) -> npt.NDArray[np.float64]:
    """H(p) = -sum_y p(y) log p(y) in nats over the last axis, with 0 log 0 = 0.

    distributions  (..., c) floats >= 0; taken as they are, whatever they sum to
    returns        (...,) float64; O(size) time and one temporary of the same size
    """
    # The smallest normal number stands in for 0 under the logarithm, which p = 0 multiplies away.
    logarithms = np.maximum(distributions, np.finfo(distributions.dtype).tiny)
    np.log(logarithms, out=logarithms)
    total: npt.NDArray[np.float64] = np.einsum(
        "...c,...c->...", distributions, logarithms, dtype=np.float64
    )
    return -total
