"""The rows that stand for a pool: equal rows once, and of a large pool an even sample."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, row_blocks
from strategies.kernels.facility_rows import each_placed

Doubles = npt.NDArray[np.float64]

# Half of a weighted sample follows the weights, half is even, so that nothing is out of sight.
EVEN_SHARE = 0.5


@dataclass(frozen=True)
class Distinct:
    """The different rows of a pool, each by one item.

    items     (k,) int64 ascending: of equal rows the first that may be picked, else the first
    group     (n,) int64: the position in `items` of the row that equals this one
    """

    items: Indices
    group: Indices


def distinct_rows(points: Floats, eligible: Indices) -> Distinct:
    """Each different row once; O(n d) time, O(n) memory.

    points    (n, d), possibly memory-mapped
    eligible  (e,) int64 ascending
    """
    n = len(points)
    marks = _marks(points)
    _, first, inverse = np.unique(marks, return_index=True, return_inverse=True)
    if len(first) == n:
        everything = np.arange(n, dtype=np.int64)
        return Distinct(everything, everything)
    leader = first[inverse]
    followers = np.flatnonzero(leader != np.arange(n))
    for rows in row_blocks(len(followers), points.shape[1]):
        mine = followers[rows]
        # Rows that differ and still share a mark stand for themselves.
        same = (points[mine] == points[leader[mine]]).all(axis=1)
        leader[mine[~same]] = mine[~same]
    allowed = np.full(n, n, dtype=np.int64)
    np.minimum.at(allowed, leader[eligible], eligible)
    representative = np.where(allowed < n, allowed, np.arange(n))
    items = np.sort(representative[np.unique(leader)])
    position = np.empty(n, dtype=np.int64)
    position[items] = np.arange(len(items))
    return Distinct(items, position[representative[leader]])


def _marks(points: Floats) -> npt.NDArray[np.uint64]:
    """A number for each row that is equal for equal rows and otherwise almost surely differs."""
    bits = np.uint32 if points.dtype == np.float32 else np.uint64
    factors = np.random.default_rng(20_260_101).integers(
        1, 2**64, size=points.shape[1], dtype=np.uint64
    )
    factors |= np.uint64(1)
    marks = np.empty(len(points), dtype=np.uint64)
    for rows in row_blocks(*points.shape):
        # Adding zero turns -0.0, which equals 0.0, into it.
        block = np.ascontiguousarray(points[rows] + points.dtype.type(0.0)).view(bits)
        mixed = block.astype(np.uint64)
        mixed ^= mixed >> np.uint64(15)
        mixed *= factors
        mixed ^= mixed >> np.uint64(29)
        mixed *= factors
        marks[rows] = mixed.sum(axis=1, dtype=np.uint64)
    return marks


def projection(points: Floats, mean: Doubles | None) -> Doubles:
    """Each placed row's product with one fixed direction: (n,) float64, whatever the order."""
    direction = np.random.default_rng(20_260_102).standard_normal(points.shape[1])
    found = np.empty(len(points), dtype=np.float64)

    def visit(rows: slice, block: Doubles) -> None:
        # Not a matrix product, whose last digits may depend on a row's place.
        found[rows] = (block * direction).sum(axis=1)

    each_placed(points, mean, visit)
    return found


def inclusion(weights: Doubles, size: int) -> Doubles:
    """The probability of each item in an even sample of `size`: half even, half by weight.

    weights (k,) >= 0; returns (k,) in (0, 1] with sum min(size, k)
    """
    count = len(weights)
    if size >= count:
        return np.ones(count, dtype=np.float64)
    total = float(weights.sum())
    shares: Doubles = np.full(count, 1.0 / count)
    if total > 0.0:
        shares = EVEN_SHARE / count + (1.0 - EVEN_SHARE) * weights / total
    certain = np.zeros(count, dtype=np.bool_)
    while True:
        left = size - int(certain.sum())
        scaled = shares * (left / shares[~certain].sum())
        more = ~certain & (scaled >= 1.0)
        if not more.any():
            return np.where(certain, 1.0, scaled)
        certain |= more


def even_sample(order: Indices, inclusion_probabilities: Doubles) -> Indices:
    """Every 1/p-th item along an order: (size,) positions ascending, without chance."""
    steps = np.cumsum(inclusion_probabilities[order])
    # Half a step in; the rounding keeps a sum that is whole but for rounding whole.
    counts = np.floor(steps + 0.5 - 1e-9)
    taken = np.diff(counts, prepend=0.0) > 0.5
    return np.sort(order[taken])
