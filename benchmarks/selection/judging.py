"""Whether an answer is exact: the picks of the obvious float64 loop, in its order.

The loop itself would take too long beside an answer of thousands of picks. Given the answer, each
step can be checked instead: along these picks, is the next one the best there is? If every one is,
the loop would have picked them. Exactness of a random strategy is a matter of its distribution:
along its picks, the share of the weight that lies below the next one must be uniform.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job
from benchmarks.selection.objectives import (
    OBJECTIVES,
    SCORES,
    gradient_errors,
    margin_uncertainty,
)

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# What exactness can be: all picks in order; the same picks in another order; not; in distribution
# (or not); heuristic, where there is no one answer; unchecked, where the check would take too long.
YES, SET, NO = "yes", "same set", "no"
DRAWN, NOT_DRAWN = "in distribution", "not in distribution"
HEURISTIC, UNCHECKED = "heuristic", "unchecked"

CENTRES_AT_ONCE = 64
# Squared distances by float64 products are off by less than this for rows of length 1.
ROUNDING = 1e-11
# A gain that falls short of the best by less than this part of it is a tie.
TIE = 1e-10
# Greedy gains are checked on pools of this many items at most, of which all pairs are held.
MOST_PAIRED = 6_500
DRAWS_CHECKED = 400
# Below this the draws are not what they should be (a false alarm once in a thousand runs).
SIGNIFICANT = 1e-3


def judged(arrays: Arrays, job: Job, picks: Indices) -> dict[str, Any]:
    """The objective and the exactness of an answer, as they go into the report."""
    problem = _malformed(arrays, job, picks)
    if problem:
        return {"exact": NO, "why": problem}
    result: dict[str, Any] = {"exact": HEURISTIC, "why": ""}
    if job.strategy in OBJECTIVES:
        objective = OBJECTIVES[job.strategy]
        result |= {
            "objective": objective.name,
            "better": objective.better,
            "value": objective.value(arrays, job, picks),
        }
    if job.strategy in SCORES:
        result["exact"], result["why"] = ranking(SCORES[job.strategy](arrays), picks)
    elif job.strategy in CHECKS:
        result["exact"], result["why"] = CHECKS[job.strategy](arrays, job, picks)
    return result


def _malformed(arrays: Arrays, job: Job, picks: Indices) -> str:
    if len(picks) != job.size:
        return f"{len(picks)} picks instead of {job.size}"
    if picks.min(initial=0) < 0 or picks.max(initial=0) >= arrays.n:
        return "a pick outside the pool"
    twice = len(picks) - len(np.unique(picks))
    return f"{twice} items picked twice" if twice else ""


def ranking(scores: Floats, picks: Indices) -> tuple[str, str]:
    """Against the highest scores, best first, equal ones by index."""
    wanted = np.argsort(-scores, kind="stable")[: len(picks)]
    if np.array_equal(wanted, picks):
        return YES, ""
    differing = len(np.setdiff1d(picks, wanted))
    if differing == 0:
        return SET, ""
    return NO, f"{differing:,} of {len(picks):,} picks differ"


def farthest_first(arrays: Arrays, job: Job, picks: Indices) -> tuple[str, str]:
    """Each pick against the farthest item at its turn, in float64."""
    points = arrays.embeddings.astype(np.float64)
    squares = np.square(points).sum(axis=1)
    nearest = np.full(len(points), np.inf)

    def distances(centres: Floats) -> Floats:
        products = points @ centres.T
        return squares[:, None] + np.square(centres).sum(axis=1) - 2.0 * products

    labelled = arrays.labelled_embeddings.astype(np.float64) if job.labelled else points[:0]
    for start in range(0, len(labelled), CENTRES_AT_ONCE):
        block = distances(labelled[start : start + CENTRES_AT_ONCE])
        np.minimum(nearest, block.min(axis=1), out=nearest)
    for start in range(0, len(picks), CENTRES_AT_ONCE):
        turn = picks[start : start + CENTRES_AT_ONCE]
        block = distances(points[turn]).T
        for position, pick in enumerate(turn, start):
            if nearest[pick] < nearest.max() - 2.0 * ROUNDING:
                return NO, f"from pick {position + 1:,} of {len(picks):,} on"
            near = np.flatnonzero(nearest >= nearest.max() - 2.0 * ROUNDING)
            if len(near) > 1 and np.isfinite(nearest[pick]):
                centres = np.concatenate([labelled, points[picks[:position]]])
                exact = [np.square(centres - points[i]).sum(axis=1).min() for i in near]
                if exact[int(np.searchsorted(near, pick))] < max(exact) * (1.0 - 1e-14):
                    return NO, f"from pick {position + 1:,} of {len(picks):,} on (a near tie)"
            np.minimum(nearest, block[position - start], out=nearest)
            nearest[pick] = -np.inf
    return YES, ""


def greedy(
    kernel: Callable[[Floats], Floats],
    weights: Callable[[Arrays], Floats] | None = None,
) -> Callable[[Arrays, Job, Indices], tuple[str, str]]:
    """A check of each pick against the highest gain: sum_j w_j max(k_ij - cover_j, 0)."""

    def check(arrays: Arrays, job: Job, picks: Indices) -> tuple[str, str]:
        if arrays.n > MOST_PAIRED:
            return UNCHECKED, ""
        points = arrays.embeddings.astype(np.float64)
        pairs = kernel(points @ points.T)
        cover = np.zeros(len(points))
        if job.labelled:
            products = points @ arrays.labelled_embeddings.astype(np.float64).T
            cover = np.maximum(kernel(products).max(axis=1), 0.0)
        weight = np.ones(len(points)) if weights is None else weights(arrays)
        left = np.ones(len(points), dtype=np.bool_)
        scratch = np.empty_like(pairs)
        for position, pick in enumerate(picks):
            np.subtract(pairs, cover, out=scratch)
            gains = np.maximum(scratch, 0.0, out=scratch) @ weight
            if gains[pick] < gains[left].max() * (1.0 - TIE):
                return NO, f"from pick {position + 1:,} of {len(picks):,} on"
            left[pick] = False
            np.maximum(cover, pairs[pick], out=cover)
        return YES, ""

    return check


def squared_distance_draws(arrays: Arrays, job: Job, picks: Indices) -> tuple[str, str]:
    """Whether BADGE's picks after the first are drawn in proportion to the squared distances."""
    points, errors = arrays.embeddings, gradient_errors(arrays.probabilities)
    # The libraries leave the bias out of the gradient.
    bias = np.float32(0.0 if job.library else 1.0)
    squares = (1.0 + bias) * np.square(errors).sum(axis=1)
    nearest = np.full(arrays.n, np.inf, dtype=np.float32)
    checked = picks[: DRAWS_CHECKED + 1]
    rng = np.random.default_rng(job.seed)
    shares = []
    for start in range(0, len(checked), CENTRES_AT_ONCE):
        turn = checked[start : start + CENTRES_AT_ONCE]
        products = (errors @ errors[turn].T) * (points @ points[turn].T + bias)
        block = squares[:, None] + squares[turn] - 2.0 * products
        for position, pick in enumerate(turn, start):
            if position > 0:
                own = nearest[pick]
                total = nearest.sum(dtype=np.float64)
                below = nearest[nearest < own].sum(dtype=np.float64)
                equal = nearest[nearest == own].sum(dtype=np.float64)
                shares.append((below + rng.random() * equal) / total)
            np.minimum(nearest, np.maximum(block[:, position - start], 0.0), out=nearest)
            nearest[checked[: position + 1]] = 0.0
    if not shares:
        return UNCHECKED, ""
    chance = uniformity(np.array(shares))
    verdict = DRAWN if chance >= SIGNIFICANT else NOT_DRAWN
    return verdict, f"Kolmogorov-Smirnov p = {chance:.2g} over {len(shares)} draws"


def uniformity(values: Floats) -> float:
    """The chance of so large a deviation from the uniform distribution on (0, 1)."""
    count = len(values)
    ordered = np.sort(values)
    steps = np.arange(count + 1) / count
    deviation = max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1]))
    scaled = (np.sqrt(count) + 0.12 + 0.11 / np.sqrt(count)) * deviation
    if scaled < 0.2:  # where the series below converges slowly and is 1
        return 1.0
    terms = np.arange(1, 101)
    signs = np.where(terms % 2 == 1, 2.0, -2.0)
    return float(np.clip((signs * np.exp(-2.0 * terms**2 * scaled**2)).sum(), 0.0, 1.0))


CHECKS: dict[str, Callable[[Arrays, Job, Indices], tuple[str, str]]] = {
    "k_center": farthest_first,
    "badge": squared_distance_draws,
    "facility_location": greedy(lambda products: products),
    "max_herding": greedy(lambda products: np.exp(2.0 * products - 2.0)),
    "uherding": greedy(
        lambda products: np.exp(2.0 * products - 2.0),
        lambda arrays: margin_uncertainty(arrays.probabilities),
    ),
    "probcover": greedy(lambda products: (2.0 - 2.0 * products <= 0.9**2).astype(np.float64)),
}
