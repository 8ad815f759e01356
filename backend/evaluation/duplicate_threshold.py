"""From which cosine on two items are near-duplicates: what unrelated pairs practically never reach.

A fixed cosine means another thing for every encoder: random pairs of a text encoder lie around
0.1, those of an image encoder with a narrow cone around 0.7 to 0.99.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from backend.evaluation.near_duplicates import pair_cosines, unit_rows
from strategies.arrays import Floats, row_blocks

FLOOR = 0.9  # below it, items are alike in subject rather than copies of one another
CEILING = 0.9999  # above it, the same content decoded or tokenised twice may differ by as much
WITHOUT_ROWS = 0.95
_FEWEST_ROWS = 15
_SAMPLE = 2_000  # rows: two million pairs
_QUANTILES = (0.9, 0.99, 0.999)
_EXAMPLE_ROWS = 500
_BLOCK = 1 << 21


@dataclass(frozen=True)
class ExamplePair:
    """Two rows of the pool and their cosine."""

    first: int
    second: int
    cosine: float


@dataclass(frozen=True)
class DuplicateThreshold:
    """A cosine threshold and where it comes from.

    cosine     the threshold
    median     the median cosine of random pairs
    quantiles  their 90%, 99% and 99.9% quantiles
    rule       "random pairs", "floor", "ceiling" or "too few rows"
    """

    cosine: float
    median: float
    quantiles: tuple[float, float, float]
    rule: str


def threshold_from_random_pairs(
    embeddings: Floats, seed: int, holdout_size: int | None = None
) -> DuplicateThreshold:
    """The cosine that fewer than one random pair is expected to reach in a search of the pool.

    embeddings    (n, d) float32 or float64, possibly memory-mapped
    holdout_size  h, rows that the pool is searched for (default: a tenth of the pool, at most
                  2,000)

    All pairs of 2,000 random rows, identical rows once. Their cosines c become z = artanh(c)
    (Fisher's transformation, under which the cosine of independent vectors is nearly normal); a
    normal tail through the quantiles of z at 90% and 99%, and one through those at 99% and 99.9%,
    are each extrapolated to the probability 1 / (n h), and the smaller z is taken: a cluster of
    near-duplicates among the pairs steepens one of the two, never both, so it cannot lift the
    threshold over itself unless it holds more than 1% of all pairs. (Such pools need groups.) Kept
    within 0.9 and 0.9999; 0.95 for fewer than 15 distinct rows, of which nothing can be learnt.
    Fisher 1915, "Frequency distribution of the values of the correlation coefficient".
    """
    rng = np.random.default_rng(seed)
    n = len(embeddings)
    rows = np.sort(rng.permutation(n)[:_SAMPLE])
    units = unit_rows(embeddings, rows)
    units = np.unique(np.round(units.astype(np.float32), 6), axis=0).astype(np.float64)
    units = units[np.einsum("ij,ij->i", units, units) > 0.5]  # rows of zeros are like nothing
    if len(units) < _FEWEST_ROWS:
        return DuplicateThreshold(WITHOUT_ROWS, math.nan, (math.nan,) * 3, "too few rows")
    single = units.astype(np.float32)
    cosines = (single @ single.T)[np.triu_indices(len(units), 1)]
    median, *levels = (float(x) for x in np.quantile(cosines, (0.5, *_QUANTILES)))
    searched = n * (holdout_size or min(2_000, max(1, n // 10)))
    z = [math.atanh(min(max(level, -1 + 1e-7), 1 - 1e-7)) for level in levels]
    normal = NormalDist()
    at = [normal.inv_cdf(q) for q in _QUANTILES]
    target = max(-normal.inv_cdf(1 / searched), at[-1]) if searched > 2 else at[-1]
    extrapolated = math.tanh(
        min(z[i] + (z[i + 1] - z[i]) * (target - at[i]) / (at[i + 1] - at[i]) for i in (0, 1))
    )
    rule = "random pairs"
    if extrapolated < FLOOR:
        rule = "floor"
    elif extrapolated > CEILING:
        rule = "ceiling"
    chosen = min(max(extrapolated, FLOOR), CEILING)
    return DuplicateThreshold(chosen, median, (levels[0], levels[1], levels[2]), rule)


def example_pairs(
    embeddings: Floats, threshold: float, seed: int, count: int = 4
) -> tuple[ExamplePair, ...]:
    """Up to `count` pairs just below the threshold and as many just above, by ascending cosine.

    For each of 500 random rows, the pairs with a row of the pool (n, d) that come closest to the
    threshold on either side; of those the closest, no row twice. Takes O(500 n d).
    """
    rng = np.random.default_rng(seed)
    n = len(embeddings)
    chosen = np.sort(rng.permutation(n)[:_EXAMPLE_ROWS])
    own = unit_rows(embeddings, chosen).astype(np.float32)
    below = np.full(len(chosen), -np.inf, dtype=np.float32)
    above = np.full(len(chosen), np.inf, dtype=np.float32)
    partner = np.zeros((2, len(chosen)), dtype=np.int64)
    every = np.arange(len(chosen))
    for block in row_blocks(n, max(len(chosen), embeddings.shape[1]), _BLOCK):
        cosines = own @ unit_rows(embeddings, block).astype(np.float32).T
        inside = (chosen >= block.start) & (chosen < block.stop)
        cosines[every[inside], chosen[inside] - block.start] = np.nan
        for side, best in ((0, below), (1, above)):
            on_side = cosines >= threshold if side else cosines < threshold
            worst = np.inf if side else -np.inf
            values = np.where(on_side, cosines, np.float32(worst))
            column = values.argmin(axis=1) if side else values.argmax(axis=1)
            value = values[every, column]
            better = value < best if side else value > best
            best[better] = value[better]
            partner[side, better] = column[better] + block.start
    used: set[int] = set()
    found: list[ExamplePair] = []
    for side, best in ((0, below), (1, above)):
        taken = 0
        for index in np.argsort(np.abs(best - np.float32(threshold)), kind="stable"):
            pair = sorted((int(chosen[index]), int(partner[side, index])))
            if taken == count or not np.isfinite(best[index]):
                break
            if used.isdisjoint(pair):
                used.update(pair)
                found.append(ExamplePair(pair[0], pair[1], float(best[index])))
                taken += 1
    first, second = (
        np.array([getattr(p, x) for p in found], dtype=np.int64) for x in ("first", "second")
    )
    exact = pair_cosines(embeddings, first, second)
    pairs = [ExamplePair(p.first, p.second, float(c)) for p, c in zip(found, exact, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: pair.cosine))
