"""Two matrices, one above the other, without a copy of either."""

from typing import Any

import numpy as np

from strategies.arrays import Floats, Indices


class StackedRows:
    """The rows of `upper`, then those of `lower`, as far as reading blocks of rows goes.

    upper  (n, d) floats, possibly memory-mapped
    lower  (m, d) floats
    """

    def __init__(self, upper: Floats, lower: Floats) -> None:
        self.upper = upper
        self.lower = lower
        self.shape = (len(upper) + len(lower), upper.shape[1])
        self.dtype = np.dtype(np.float64)

    def __getitem__(self, rows: slice | Indices) -> Floats:
        """(r, d) float64: these rows, in the order asked for."""
        wanted = np.arange(self.shape[0])[rows] if isinstance(rows, slice) else rows
        found: Any = np.empty((len(wanted), self.shape[1]), dtype=np.float64)
        above = wanted < len(self.upper)
        found[above] = self.upper[wanted[above]]
        found[~above] = self.lower[wanted[~above] - len(self.upper)]
        held: Floats = found
        return held
