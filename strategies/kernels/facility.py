"""Greedy coverage, exactly: the facility-location objective over the rows of a pool."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Mask, row_blocks
from strategies.kernels.facility_rows import UnitRows, placed
from strategies.kernels.facility_values import Value

Doubles = npt.NDArray[np.float64]

# Up to so many rows products are float64; beyond, float32 with near ties decided in float64.
FLOAT64_ROWS = 20_000
# Gains that differ by less than this share are equal.
TIE = 1e-12


@dataclass
class Coverage:
    """The state of a greedy run over q rows.

    rows        the q rows
    open        (q,) which may still be picked
    weights     (q,) >= 0: u_j
    stands_for  (q,) how many items of the pool each row stands for
    covered     (q,) the value of the best cover so far: v_j, 0 where there is none
    value       v(p)
    dtype       of the bulk products; float64 or float32
    error       bound of the error of such a product
    device      where they are computed
    """

    rows: UnitRows
    open: Mask
    weights: Doubles
    stands_for: Doubles
    covered: Doubles
    value: Value
    device: str
    picks: list[int] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        few = self.rows.count <= FLOAT64_ROWS
        self.dtype: type[np.float64] | type[np.float32] = np.float64 if few else np.float32
        self.steps = self.value.unsettled(np.empty(0), 0.0) is not None
        self.error = product_error(self.rows.dimensions, self.dtype)

    @property
    def candidates(self) -> Indices:
        """The rows that may still be picked, ascending."""
        return np.flatnonzero(self.open)

    @property
    def thresholds(self) -> Doubles:
        """(q,) products above which a reference is covered better; +inf where it has no weight."""
        limits = self.value.products_of(self.covered)
        return np.where(self.weights > 0.0, limits, np.inf)

    def record(self, pick: int, gain: float, improved: Indices) -> None:
        """Record a pick, what it gained, and the references that it covers better."""
        self.open[pick] = False
        self.picks.append(pick)
        self.gains.append(gain)
        self.counts.append(round(float(self.stands_for[improved].sum())))

    def among_equals(self, tied: Indices) -> int:
        """Of candidates with equal gains (ascending) the one that is itself covered worst.

        Two items that could still gain only from each other gain exactly the same; this choice
        between them does not depend on the order of the pool. Equal covers, and steps of v, where
        gains are counts and equals common, leave it to the lowest index.
        """
        if len(tied) == 1 or self.steps:
            return int(tied[0])
        covered = self.covered[tied]
        return int(tied[np.argmax(covered <= covered.min() + TIE)])

    def tie(self, gain: float) -> float:
        """Gains this near to `gain` are equal to it."""
        return TIE * abs(gain) + 1e-15 * float(self.weights.max(initial=0.0))


def product_error(dimensions: int, dtype: type[np.float64] | type[np.float32]) -> float:
    """A bound of the error of <z_i, z_j> in this precision, |z_i| = |z_j| = 1.

    Each of d products and sums rounds once, and the entries of both rows have been rounded before.
    """
    return (dimensions + 4) * float(np.finfo(dtype).eps) / 2.0


def cover_by(rows: UnitRows, centres: Floats, value: Value) -> Doubles:
    """max_l v(<z_j, c_l>) of each row j over the centres, in float64: (q,); 0 without centres.

    centres  (m, d), placed on the sphere as the rows are

    O(q m d) time; blocks of 8 MiB beside the centres.
    """
    best = np.full(rows.count, -np.inf)
    zeros = np.zeros(rows.count, dtype=np.bool_)
    for part in row_blocks(len(centres), rows.dimensions):
        held = placed(np.array(centres[part], dtype=np.float64, order="C"), rows.mean)
        held_zero = ~held.any(axis=1)
        for block in row_blocks(rows.count, max(rows.dimensions, len(held))):
            mine = rows.exact(np.arange(block.start, block.stop))
            zeros[block] = ~mine.any(axis=1)
            products = mine @ held.T
            if held_zero.any() or zeros[block].any():
                products[:, held_zero] = value.zero_product
                products[zeros[block], :] = value.zero_product
                products[np.ix_(zeros[block], held_zero)] = value.zero_zero_product
            np.maximum(best[block], products.max(axis=1), out=best[block])
    if not len(centres):
        return np.zeros(rows.count, dtype=np.float64)
    return np.asarray(value.of_products(best), dtype=np.float64)
