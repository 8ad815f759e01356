"""Pins by hand: items that come before whatever a strategy picks."""

import numpy as np

from strategies.arrays import Indices
from strategies.pool import Pool


def pinned_first(pool: Pool, size: int) -> tuple[Pool, Indices]:
    """The pool in which the pins count as picked, and the pins, at most `size`, by index.

    An excluded item is never a pin. returns the pool for the rest of the batch, (p,) int64
    """
    if pool.pinned is None:
        return pool, np.empty(0, dtype=np.int64)
    pins = pool.eligible[pool.pinned[pool.eligible]][:size]
    return (pool.with_picked(pins) if len(pins) else pool), pins
