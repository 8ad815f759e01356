"""A batch that brings the classes of the labelled items near to a target distribution."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Integers, float64_rows, row_blocks
from strategies.diversity.tail_first import label_counts
from strategies.picks import CLASS, GAIN, QUOTA, Picks
from strategies.predicted_class import predicted_classes

Vector = npt.NDArray[np.float64]


def label_distribution_matching(
    probabilities: Floats,
    eligible: Indices,
    size: int,
    labels: Integers | None = None,
    *,
    target: Literal["pool", "uniform"] = "pool",
    divergence: Literal["l2", "kl"] = "l2",
) -> Picks:
    """Greedy: s_t = argmin_x D(q_x, r), q_x = (h + sum_{s picked} p(.|s) + p(.|x)) / (m + t).

    h holds the labels of each class, q is the expected class distribution of the labelled items and
    the batch, r the target; D is the squared Euclidean distance |q - r|^2, or the Kullback-Leibler
    divergence sum_c q_c log(q_c / r_c). Equal values go to the lowest index.

    probabilities  (n, c)
    labels         (m,) classes of the labelled items; None: m = 0
    target         r: the mean of p(.|x) over the pool ("pool"), or 1/c for each class
    divergence     D
    returns        Picks; CLASS the predicted class, QUOTA the batch's items that are predicted so,
                   GAIN by how much the pick lowered D (negative where every pick had to raise it)

    O(size n c) time, two matrix-vector products a pick: a quadratic bounds D from below for all
    items at once (for L2 it is D itself), and only what may be the lowest is evaluated in float64.
    Memory: two copies of the eligible rows.

    Source: Bengar et al., Class-Balanced Active Learning for Image Classification, WACV 2022
    (arXiv 2110.04543): the expected classes of the labelled items and the batch against a target,
    there uniform, in the L1 distance, by a linear program.
    """
    search = _Search(probabilities, eligible, target, divergence)
    picks = search.picks(size, label_counts(labels, probabilities.shape[1]))
    classes = predicted_classes(probabilities, picks[0])
    return Picks(picks[0], {CLASS: classes, QUOTA: np.bincount(classes)[classes], GAIN: picks[1]})


class _Search:
    """The candidates, and the divergence of each from the target, bounded and exact."""

    def __init__(
        self, probabilities: Floats, eligible: Indices, target: str, divergence: str
    ) -> None:
        n, classes = probabilities.shape
        self.kl = divergence == "kl"
        self.eligible = eligible
        self.rows = np.ascontiguousarray(probabilities[eligible])
        self.squares = self.rows * self.rows
        total = np.zeros(classes, dtype=np.float64)
        for block in row_blocks(n, classes):
            total += float64_rows(probabilities, block).sum(axis=0)
        own = np.zeros(classes, dtype=np.float64)
        for block in row_blocks(len(eligible), classes):
            own += float64_rows(self.rows, block).sum(axis=0)
        self.mean = own / len(eligible)
        self.target = np.full(classes, 1.0 / classes) if target == "uniform" else total / n
        # The rounding of two products of a row (sum 1) with a vector of entries up to 1.
        self.tolerance = 8.0 * (classes + 2) * float(np.finfo(self.rows.dtype).eps)

    def picks(self, size: int, held: Vector) -> tuple[Indices, Vector]:
        count = held.sum()
        value = self.value(held, count) if count else np.nan
        found = np.empty(size, dtype=np.int64)
        gains = np.empty(size, dtype=np.float64)
        open_places = np.ones(len(self.eligible), dtype=np.bool_)
        for t in range(size):
            place = self.best(held, count, open_places)
            open_places[place] = False
            found[t] = self.eligible[place]
            held = held + self.rows[place]
            count += 1.0
            # Before the first item of all there is no distribution that could have come nearer.
            before, value = value, self.value(held, count)
            gains[t] = before - value if np.isfinite(before) else 0.0
        return found, gains

    def best(self, held: Vector, count: float, open_places: npt.NDArray[np.bool_]) -> int:
        """The place of the lowest divergence, among equal ones the lowest."""
        slope, curvature, gradient = self.bounding(held, count)
        # Scaled so that no entry exceeds 1: the tolerance then holds for every batch.
        scale = max(1.0, float(np.abs(slope).max()), float(np.abs(curvature).max()))
        dtype = self.rows.dtype
        bounds = self.rows @ (slope / scale).astype(dtype)
        bounds += self.squares @ (curvature / scale).astype(dtype)
        bounds[~open_places] = np.inf
        likely = np.array([np.argmin(bounds)])
        # Whatever could be lower than this one, rounding allowed for.
        limit = float(self.exact(likely, held, count, gradient)[0]) - self.constant(curvature)
        places = np.flatnonzero(bounds <= limit / scale + self.tolerance)
        values = np.empty(len(places), dtype=np.float64)
        for block in row_blocks(len(places), self.rows.shape[1]):
            values[block] = self.exact(places[block], held, count, gradient)
        return int(places[np.argmin(values)])

    def bounding(self, held: Vector, count: float) -> tuple[Vector, Vector, Vector]:
        """u, v and the gradient g: (count + 1) D(x) >= constant + u.p(x) + v.p(x)^2 for every item.

        For L2 that is an equality. For KL, D is convex with second derivative 1/q_c, and q_c is at
        most (h_c + 1) / (count + 1).
        """
        gradient = self.gradient(held, count)
        if not self.kl:
            return gradient, np.ones(len(held)), gradient
        curvature = 0.5 / (held + 1.0)
        return gradient - 2.0 * curvature * self.mean, curvature, gradient

    def constant(self, curvature: Vector) -> float:
        """What the bound lacks of `exact`: the square of the mean in (p - mean)^2."""
        return float((curvature * self.mean**2).sum()) if self.kl else 0.0

    def gradient(self, held: Vector, count: float) -> Vector:
        """The slope of (count + 1) D in p(.|x): for L2 around 0, for KL around the mean item."""
        if not self.kl:
            slope: Vector = 2.0 * (held - (count + 1.0) * self.target)
            return slope
        around = (held + self.mean) / (count + 1.0)
        logarithms = np.zeros(len(held))
        # A class that no labelled and no eligible item has adds nothing for any of them.
        seen = around > 0.0
        logarithms[seen] = np.log(around[seen] / self.floor()[seen])
        return logarithms

    def exact(self, places: Indices, held: Vector, count: float, gradient: Vector) -> Vector:
        """(count + 1) D of each, less the same for all: (places,)."""
        rows = self.rows[places].astype(np.float64)
        if not self.kl:
            squared: Vector = (rows * gradient + rows * rows).sum(axis=1)
            return squared
        around = (held + self.mean) / (count + 1.0)
        mixed = (held + rows) / (count + 1.0)
        terms = np.zeros_like(mixed)
        np.log(mixed, out=terms, where=mixed > 0.0)
        terms -= np.log(np.where(around > 0.0, around, 1.0))
        # sum_c q_c log(q_c / around_c) >= 0 is the part beyond the tangent.
        beyond = (count + 1.0) * np.where(mixed > 0.0, mixed * terms, 0.0).sum(axis=1)
        whole: Vector = (rows * gradient).sum(axis=1) + beyond
        return whole

    def floor(self) -> Vector:
        """The target, with the smallest share for a class that it does not have at all."""
        floored: Vector = np.maximum(self.target, 1e-12)
        return floored

    def value(self, held: Vector, count: float) -> float:
        """D of the labelled items and picks."""
        share = held / count
        if not self.kl:
            return float(((share - self.target) ** 2).sum())
        seen = share > 0.0
        return float((share[seen] * np.log(share[seen] / self.floor()[seen])).sum())
