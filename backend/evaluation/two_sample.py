"""How well a classifier tells two sets apart, as an effect size: the area under its ROC curve.

0.5: not at all; 1: without error. Classifier two-sample tests: Lopez-Paz and Oquab 2017,
"Revisiting classifier two-sample tests".
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_variance import group_numbers
from backend.evaluation.quantiles import student_quantile
from strategies.arrays import Column, Floats, row_blocks

FOLDS = 5
FEWEST = 30  # rows and
FEWEST_GROUPS = 10  # groups of either set, below which nothing is said
_MOST_ROWS = 5_000
_MOST_DIMENSIONS = 384
_DEALS, _TAIL = 199, 5  # the 5th from either end: 2.5% of 200


@dataclass(frozen=True)
class Separation:
    """The cross-fitted area under the curve with its 95% interval; rows used of either set."""

    auc: float
    low: float
    high: float
    first: int
    second: int


def separation(
    first: Floats,
    second: Floats,
    first_groups: Column | None = None,
    second_groups: Column | None = None,
    seed: int = 0,
) -> Separation | None:
    """How well a linear discriminant tells second (b, d) from first (a, d); None where too few.

    The area is the mean over five folds of rows that the fold's discriminant did not see; a group
    (equal values in first_groups (a,) and second_groups (b,)) lies in one fold. Over 5,000 rows of
    a set, whole groups are left out at random. At least 30 rows and 10 groups of either.

    Interval: [auc − max(h, q_high), auc + max(h, −q_low)], within [0, 1].
    h       t sqrt(v): v sums over groups the squares of their rows' contributions to the area
            (DeLong et al. 1988; Obuchowski 1997 for clustered data), t is Student's 97.5% quantile
            for the fewer groups of the two, less one
    q       2.5% and 97.5% quantiles of auc − 0.5 when the sets are dealt to the groups of each fold
            at random, 199 times
    Why q: where nothing separates the sets, the folds' discriminants are noise made of the other
    folds' rows, and the same products of noise occur in pairs of folds, once each as training and
    as test. The areas are then correlated, and their mean has twice the variance of independent
    folds and a skewed distribution, so that h alone holds 0.5 in 80 to 90% of cases. With q it does
    in at least 95%, by exchangeability.
    """
    rng = np.random.default_rng(seed)
    both = len(first) + len(second)
    if first_groups is None or second_groups is None:
        groups: NDArray[np.int64] = np.asarray(np.arange(both), dtype=np.int64)
    else:
        named = np.concatenate([np.asarray(first_groups), np.asarray(second_groups)])
        groups = group_numbers(named, both)
    own, other = groups[: len(first)], groups[len(first) :]
    if not (_enough(own) and _enough(other)):
        return None
    left, right = _thinned(own, rng), _thinned(other, rng)
    rows = np.concatenate([np.asarray(first[left]), np.asarray(second[right])])
    is_second = np.arange(len(rows)) >= len(left)
    used = np.concatenate([own[left], other[right]])
    fit = CrossFit(rows, is_second, used, rng)
    auc, contributions = fit.area(is_second)
    of_groups = np.bincount(group_numbers(used, len(used)), weights=contributions)
    count = len(of_groups)
    variance = count / (count - 1) * float(of_groups @ of_groups)
    smaller = min(len(left), len(right))
    # Perfect separation in the sample has no variance, and proves no perfect separation.
    edge = min(max(auc, 0.5 / smaller), 1 - 0.5 / smaller)
    variance = max(variance, edge * (1 - edge) / smaller)
    fewer = min(len(np.unique(own[left])), len(np.unique(other[right])))
    half = student_quantile(0.975, fewer - 1) * math.sqrt(variance)
    units = group_numbers(2 * used + is_second, len(used))
    dealt = np.sort(fit.dealt_areas(is_second, units, _DEALS, rng)) - 0.5
    low, high = float(dealt[_TAIL - 1]), float(dealt[-_TAIL])
    return Separation(
        auc,
        max(0.0, auc - max(half, high)),
        min(1.0, auc + max(half, -low)),
        len(left),
        len(right),
    )


class CrossFit:
    """Linear discriminants of the folds that leave a row's group out, for rows (n, d) of two sets.

    w = S^-1 (mean of the second set − mean of the first), S the covariance within the sets, shrunk
    towards a multiple of the identity (`_shrunk`): closed form, no setting to choose, and the best
    direction where both are Gaussian with one covariance. A row's score is (x − the middle of the
    two means).w, so that under that model it is the log odds for sets of equal size.
    Groups are dealt to the folds at random, those that hold rows of the second set apart from the
    others, so that every fold has its share. Of more than 384 dimensions, the 384 principal ones of
    both sets together are used. Raises ValueError for values that are not finite.
    """

    def __init__(
        self,
        rows: Floats,
        is_second: NDArray[np.bool_],
        groups: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> None:
        values = np.array(rows, dtype=np.float64)
        values -= values.mean(axis=0)
        if not np.isfinite(values).all():
            raise ValueError("embeddings: not all values are finite")
        if values.shape[1] > _MOST_DIMENSIONS:
            axes = np.linalg.eigh(values.T @ values)[1][:, ::-1][:, :_MOST_DIMENSIONS]
            values = values @ np.ascontiguousarray(axes)
        self.folds = _folds(is_second, groups, rng)
        self._members = [np.flatnonzero(self.folds == fold) for fold in range(FOLDS)]
        self._parts = [values[members] for members in self._members]
        # A training part is the total minus one fold.
        self._products = np.array([part.T @ part for part in self._parts])
        self._sums = np.array([part.sum(axis=0) for part in self._parts])

    def scores(self, is_second: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(n,) of every row by its fold's discriminant, 0 where a set is absent from the others."""
        scores = np.zeros(len(is_second))
        for members, of_fold in zip(
            self._members, self._scores_of_folds(is_second[None]), strict=True
        ):
            scores[members] = of_fold[0]
        return scores

    def area(self, is_second: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
        """The mean area under the folds' curves, and each row's contribution (n,) to its error."""
        scores = self.scores(is_second)
        areas, contributions = [], np.zeros(len(scores))
        for members in self._members:
            inside = is_second[members]
            if inside.any() and not inside.all():
                area, contributions[members] = _area(scores[members], inside)
                areas.append(area)
        if not areas:
            return 0.5, contributions
        return float(np.mean(areas)), contributions / len(areas)

    def dealt_areas(
        self,
        is_second: NDArray[np.bool_],
        units: NDArray[np.int64],
        deals: int,
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """(deals,) areas when the sets are dealt anew to the units (n,) of each fold."""
        width = self._products.shape[1]
        found = []
        for block in row_blocks(deals, FOLDS * max(width * width, len(is_second))):
            dealt = np.empty((block.stop - block.start, len(is_second)), dtype=np.bool_)
            for members in self._members:
                _, first, unit = np.unique(units[members], return_index=True, return_inverse=True)
                of_units = np.tile(is_second[members][first], (len(dealt), 1))
                dealt[:, members] = rng.permuted(of_units, axis=1)[:, unit]
            found.append(self._mean_areas(dealt))
        return np.concatenate(found)

    def _mean_areas(self, is_second: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(k,) mean areas for k ways (k, n) to deal the sets. Equal scores count as they come."""
        total, folds = np.zeros(len(is_second)), np.zeros(len(is_second))
        for members, scores in zip(self._members, self._scores_of_folds(is_second), strict=True):
            order = np.argsort(scores, axis=1)
            second = np.take_along_axis(is_second[:, members], order, axis=1)
            below = np.cumsum(~second, axis=1)
            pairs = second.sum(axis=1) * below[:, -1]
            area = (below * second).sum(axis=1) / np.maximum(pairs, 1)
            flat = scores.max(axis=1) == scores.min(axis=1)
            total += np.where(pairs > 0, np.where(flat, 0.5, area), 0.0)
            folds += pairs > 0
        return np.where(folds > 0, total / np.maximum(folds, 1), 0.5)

    def _scores_of_folds(self, is_second: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
        """(k, m) for each fold of m rows: its scores for k ways (k, n) to deal the sets."""
        second = [is_second[:, members].astype(np.float64) for members in self._members]
        of_second = np.array([s @ part for s, part in zip(second, self._parts, strict=True)])
        sums = np.stack([self._sums[:, None] - of_second, of_second], axis=2)  # fold, k, set, d
        seconds = np.array([s.sum(axis=1) for s in second])
        sizes = np.array([[float(len(members))] for members in self._members])
        counts = np.stack([sizes - seconds, seconds], axis=2)  # fold, k, set
        products = self._products.sum(axis=0)
        for fold, part in enumerate(self._parts):
            n = counts.sum(axis=0) - counts[fold]
            means = (sums.sum(axis=0) - sums[fold]) / np.maximum(n, 1.0)[:, :, None]
            between = np.swapaxes(means * n[:, :, None], 1, 2) @ means
            covariance = _shrunk(products - self._products[fold] - between, n.sum(axis=1) - 2)
            apart = means[:, 1] - means[:, 0]
            weights = np.linalg.solve(covariance, apart[:, :, None])[:, :, 0]
            weights *= n.all(axis=1)[:, None]
            middle = np.einsum("kd,kd->k", means.mean(axis=1), weights)
            yield weights @ part.T - middle[:, None]


def _shrunk(scatter: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, d, d) (1 − a) S + a tr(S)/d I for S = scatter / n: the oracle approximating shrinkage of
    Chen et al. 2010, "Shrinkage algorithms for MMSE covariance estimation", equation 23."""
    d = scatter.shape[1]
    n = np.maximum(n, 1.0)
    covariance = scatter / n[:, None, None]
    trace = np.einsum("kii->k", covariance)
    square = np.einsum("kij,kij->k", covariance, covariance)
    lower = (n + 1 - 2 / d) * (square - trace**2 / d)
    upper = (1 - 2 / d) * square + trace**2
    share = np.where(lower > 0, np.minimum(1.0, upper / np.where(lower > 0, lower, 1.0)), 1.0)
    shrunk: NDArray[np.float64] = (1 - share)[:, None, None] * covariance
    # A direction in which nothing varies must not divide by 0.
    flat = share * trace / d + 1e-12 * trace
    diagonal = np.arange(d)
    shrunk[:, diagonal, diagonal] += np.where(trace > 1e-300, flat, 1.0)[:, None]
    return shrunk


def _folds(
    is_second: NDArray[np.bool_], groups: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    codes = group_numbers(groups, len(groups))
    holds_second = np.bincount(codes, weights=is_second) > 0
    fold_of = np.empty(len(holds_second), dtype=np.int64)
    for kind in (False, True):
        members = rng.permutation(np.flatnonzero(holds_second == kind))
        fold_of[members] = np.arange(len(members)) % FOLDS
    folds: NDArray[np.int64] = fold_of[codes]
    return folds


def _area(
    scores: NDArray[np.float64], is_second: NDArray[np.bool_]
) -> tuple[float, NDArray[np.float64]]:
    """P(score of a second > score of a first) + P(equal) / 2, and each row's share of its error."""
    positive, negative = np.sort(scores[is_second]), np.sort(scores[~is_second])
    m, n = len(positive), len(negative)

    def rank(values: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.float64]:
        below = np.searchsorted(among, values, side="left")
        return (below + np.searchsorted(among, values, side="right")) / (2 * len(among))

    of_positive = rank(scores[is_second], negative)
    of_negative = 1 - rank(scores[~is_second], positive)
    area = float(of_positive.mean())
    contributions = np.empty(len(scores))
    contributions[is_second] = (of_positive - area) / m
    contributions[~is_second] = (of_negative - area) / n
    return area, contributions


def _thinned(groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of as many random whole groups as fit in the most that are used, ascending."""
    if len(groups) <= _MOST_ROWS:
        return np.arange(len(groups))
    codes = group_numbers(groups, len(groups))
    sizes = np.bincount(codes)
    order = rng.permutation(len(sizes))
    kept = order[: max(1, int(np.searchsorted(np.cumsum(sizes[order]), _MOST_ROWS, "right")))]
    chosen = np.zeros(len(sizes), dtype=np.bool_)
    chosen[kept] = True
    return np.flatnonzero(chosen[codes])


def _enough(groups: NDArray[np.int64]) -> bool:
    return len(groups) >= FEWEST and len(np.unique(groups)) >= FEWEST_GROUPS
