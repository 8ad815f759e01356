"""What an answer is worth: the objective of each strategy, one number for every contender."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

TILE = 2048
# Candidates for the farthest item whose distance is computed again in float64.
RECHECKED = 64
NEIGHBOURS = 20
RADIUS = 0.9


@dataclass(frozen=True)
class Objective:
    """The name, which way is better, and the value for the picks."""

    name: str
    better: str
    value: Callable[[Arrays, Job, Indices], float]


def covering_radius(arrays: Arrays, job: Job, picks: Indices) -> float:
    """max_j min_i |z_j - z_i| over labelled and picked i."""
    centres = _centres(arrays, job, picks)
    best = best_product(arrays.embeddings, centres)
    worst = np.argsort(best)[:RECHECKED]
    rows = arrays.embeddings[worst].astype(np.float64)
    exact = [np.square(centres.astype(np.float64) - row).sum(axis=1).min() for row in rows]
    return float(np.sqrt(max(exact)))


def facility_value(arrays: Arrays, job: Job, picks: Indices) -> float:
    """mean_j max_i <z_i, z_j> over labelled and picked i."""
    centres = _centres(arrays, job, picks)
    return float(np.maximum(best_product(arrays.embeddings, centres), 0.0).mean(dtype=np.float64))


def herding_value(arrays: Arrays, job: Job, picks: Indices) -> float:
    """mean_j max_i exp(-|z_i - z_j|^2)."""
    return float(_kernel_cover(arrays, job, picks).mean())


def weighted_herding_value(arrays: Arrays, job: Job, picks: Indices) -> float:
    """The same, each j weighted by 1 - its margin."""
    weights = margin_uncertainty(arrays.probabilities)
    return float((weights * _kernel_cover(arrays, job, picks)).mean())


def covered_share(arrays: Arrays, job: Job, picks: Indices) -> float:
    """The share of the pool within 0.9 of a labelled or picked item."""
    best = best_product(arrays.embeddings, _centres(arrays, job, picks)).astype(np.float64)
    return float((2.0 - 2.0 * best <= RADIUS**2).mean())


def quantisation(arrays: Arrays, _: Job, picks: Indices) -> float:
    """mean_j min_i |z_j - z_i|^2 over picked i: k-means' inertia with items as centres."""
    best = best_product(arrays.embeddings, arrays.embeddings[picks])
    return float((2.0 - 2.0 * best).mean(dtype=np.float64))


def weighted_quantisation(arrays: Arrays, _: Job, picks: Indices) -> float:
    """The same, weighted by the entropy of the prediction."""
    weights = entropies(arrays.probabilities)
    best = best_product(arrays.embeddings, arrays.embeddings[picks])
    return float(np.average((2.0 - 2.0 * best).astype(np.float64), weights=weights))


def gradient_potential(arrays: Arrays, _: Job, picks: Indices) -> float:
    """mean_j min_i |g_j - g_i|^2 over picked i: what k-means++ lowers. With the bias."""
    points, errors = arrays.embeddings, gradient_errors(arrays.probabilities)
    squares = 2.0 * np.square(errors).sum(axis=1)
    total = 0.0
    for tile in _tiles(arrays.n):
        products = (errors[tile] @ errors[picks].T) * (points[tile] @ points[picks].T + 1.0)
        nearest = (squares[tile, None] + squares[picks] - 2.0 * products).min(axis=1)
        total += float(np.maximum(nearest, 0.0).sum(dtype=np.float64))
    return total / arrays.n


def typicality(arrays: Arrays, _: Job, picks: Indices) -> float:
    """Mean over the picks of 1 / (mean distance to the 20 nearest items of the pool)."""
    count = min(NEIGHBOURS, arrays.n - 1)
    values = []
    for part in _tiles(len(picks), 256):
        products = arrays.embeddings[picks[part]] @ arrays.embeddings.T
        nearest = -np.partition(-products, count, axis=1)[:, : count + 1]
        squares = np.sort(np.maximum(2.0 - 2.0 * nearest, 0.0), axis=1)[:, 1:]
        values.append(1.0 / (np.sqrt(squares).mean(axis=1) + 1e-5))
    return float(np.concatenate(values).mean(dtype=np.float64))


def uncertain_and_apart(arrays: Arrays, _: Job, picks: Indices) -> float:
    """Mean of 1 - margin over the picks, plus their mean L1 distance to the nearest other pick."""
    rows = arrays.probabilities[picks].astype(np.float64)
    apart = []
    for start in range(0, len(rows), 64):
        block = rows[start : start + 64]
        distances = np.abs(block[:, None, :] - rows[None, :, :]).sum(axis=2)
        distances[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        apart.append(distances.min(axis=1))
    nearest = np.concatenate(apart) if len(rows) > 1 else np.zeros(1)
    return float(margin_uncertainty(rows).mean() + nearest.mean())


def margin_uncertainty(probabilities: npt.NDArray[np.floating]) -> Floats:
    """1 - (p(1) - p(2)): (n,)"""
    highest = np.partition(probabilities.astype(np.float64), -2, axis=1)
    return 1.0 - (highest[:, -1] - highest[:, -2])


def entropies(probabilities: npt.NDArray[np.floating]) -> Floats:
    """-sum p ln p: (n,)"""
    rows = probabilities.astype(np.float64)
    return -(rows * np.log(np.where(rows > 0.0, rows, 1.0))).sum(axis=1)


def disagreements(members: npt.NDArray[np.floating]) -> Floats:
    """BALD: the entropy of the mean less the mean of the entropies, (n,)"""
    mean = members.astype(np.float64).mean(axis=0)
    return entropies(mean) - np.mean([entropies(member) for member in members], axis=0)


def gradient_errors(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """p - e(argmax p): (n, c)"""
    errors = np.array(probabilities)
    errors[np.arange(len(errors)), errors.argmax(axis=1)] -= 1.0
    return errors


SCORES: dict[str, Callable[[Arrays], Floats]] = {
    "margin": lambda arrays: margin_uncertainty(arrays.probabilities),
    "entropy": lambda arrays: entropies(arrays.probabilities),
    "least_confidence": lambda arrays: 1.0 - arrays.probabilities.max(axis=1).astype(np.float64),
    "bald": lambda arrays: disagreements(arrays.members),
}


def _mean_score(name: str) -> Callable[[Arrays, Job, Indices], float]:
    return lambda arrays, _, picks: float(SCORES[name](arrays)[picks].mean())


OBJECTIVES: dict[str, Objective] = {
    "k_center": Objective("covering radius", "lower", covering_radius),
    "badge": Objective("gradient potential", "lower", gradient_potential),
    "facility_location": Objective("mean similarity", "higher", facility_value),
    "max_herding": Objective("herding", "higher", herding_value),
    "uherding": Objective("weighted herding", "higher", weighted_herding_value),
    "probcover": Objective("share covered", "higher", covered_share),
    "k_means": Objective("inertia", "lower", quantisation),
    "clue": Objective("weighted inertia", "lower", weighted_quantisation),
    "dropquery": Objective("inertia", "lower", quantisation),
    "typiclust": Objective("typicality", "higher", typicality),
    "falcun": Objective("uncertain, apart", "higher", uncertain_and_apart),
    **{name: Objective("mean score", "higher", _mean_score(name)) for name in SCORES},
}


def best_product(
    points: npt.NDArray[np.float32], centres: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """max_i <x_j, c_i> for each row x_j: (n,)"""
    best = np.empty(len(points), dtype=np.float32)
    for tile in _tiles(len(points)):
        best[tile] = (points[tile] @ centres.T).max(axis=1)
    return best


def _kernel_cover(arrays: Arrays, job: Job, picks: Indices) -> Floats:
    best = best_product(arrays.embeddings, _centres(arrays, job, picks)).astype(np.float64)
    return np.exp(2.0 * best - 2.0)


def _centres(arrays: Arrays, job: Job, picks: Indices) -> npt.NDArray[np.float32]:
    picked = arrays.embeddings[picks]
    return np.concatenate([arrays.labelled_embeddings, picked]) if job.labelled else picked


def _tiles(rows: int, step: int = TILE) -> Iterator[slice]:
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
