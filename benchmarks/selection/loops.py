"""The loops that one would write first, in NumPy: what an optimised kernel is measured against.

Each is a generator. It yields the part of its work that is done, first 0.0 once it is set up, so
that a run that would take days can be stopped and extrapolated; it appends to `picks` as it goes.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job

Loop = Callable[[Arrays, Job, list[int]], Iterator[float]]

TILE = 1024
# Up to here a float32 matrix of all pairs is kept; beyond, each pick computes it anew.
PAIRS = 10_000


def k_center(arrays: Arrays, job: Job, picks: list[int]) -> Iterator[float]:
    """Farthest-first traversal, one matrix-vector product a pick."""
    points = np.array(arrays.embeddings)
    squares = np.square(points).sum(axis=1)
    nearest = np.full(len(points), np.inf, dtype=points.dtype)
    labelled = np.array(arrays.labelled_embeddings)
    for tile in _tiles(len(points), TILE):
        products = points[tile] @ labelled.T
        nearest[tile] = (np.square(labelled).sum(axis=1) - 2.0 * products).min(axis=1)
    nearest += squares
    yield 0.0
    for t in range(job.size):
        pick = int(nearest.argmax())
        picks.append(pick)
        distances = squares + squares[pick] - 2.0 * (points @ points[pick])
        nearest = np.minimum(nearest, distances)
        nearest[pick] = -np.inf
        yield (t + 1) / job.size


def badge(arrays: Arrays, job: Job, picks: list[int]) -> Iterator[float]:
    """k-means++ over the gradients, whose products factorise: <g, h> = <a, b> (<x, y> + 1)."""
    points = np.array(arrays.embeddings)
    errors = np.array(arrays.probabilities)
    errors[np.arange(len(errors)), errors.argmax(axis=1)] -= 1.0
    squares = np.square(errors).sum(axis=1) * (np.square(points).sum(axis=1) + 1.0)
    rng = np.random.default_rng(job.seed)
    nearest = np.full(len(points), np.inf, dtype=points.dtype)
    yield 0.0
    pick = int(squares.argmax())
    for t in range(job.size):
        picks.append(pick)
        distances = squares + squares[pick]
        distances -= 2.0 * (errors @ errors[pick]) * (points @ points[pick] + 1.0)
        nearest = np.minimum(nearest, np.maximum(distances, 0.0))
        nearest[pick] = 0.0
        yield (t + 1) / job.size
        sums = np.cumsum(nearest, dtype=np.float64)
        pick = min(int(np.searchsorted(sums, rng.random() * sums[-1], "right")), len(points) - 1)


def facility_location(arrays: Arrays, job: Job, picks: list[int]) -> Iterator[float]:
    """Greedy on sum_j max_i <z_i, z_j>."""
    return _greedy(arrays, job, picks, lambda products: products, None)


def max_herding(arrays: Arrays, job: Job, picks: list[int]) -> Iterator[float]:
    """Greedy on mean_j max_i exp(-|z_i - z_j|^2) over rows of length 1."""
    return _greedy(arrays, job, picks, gaussian, None)


def uherding(arrays: Arrays, job: Job, picks: list[int]) -> Iterator[float]:
    """The same, each j weighted by 1 - its margin."""
    return _greedy(arrays, job, picks, gaussian, uncertainty(arrays.probabilities))


def gaussian(products: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """exp(-|x - y|^2) from <x, y> for x and y of length 1."""
    return np.exp(2.0 * products - 2.0)


def uncertainty(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """1 - (p(1) - p(2)): (n,)"""
    highest = np.partition(probabilities, -2, axis=1)
    return 1.0 - (highest[:, -1] - highest[:, -2])


def _greedy(
    arrays: Arrays,
    job: Job,
    picks: list[int],
    kernel: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]],
    weights: npt.NDArray[np.float32] | None,
) -> Iterator[float]:
    points = np.array(arrays.embeddings)
    n = len(points)
    cover = np.zeros(n, dtype=np.float32)
    if job.labelled:
        labelled = np.array(arrays.labelled_embeddings)
        for tile in _tiles(n, TILE):
            cover[tile] = np.maximum(kernel(points[tile] @ labelled.T).max(axis=1), 0.0)
    kept = None
    if n <= PAIRS:
        kept = np.concatenate([kernel(points[tile] @ points.T) for tile in _tiles(n, TILE)])
    yield 0.0
    tiles = list(_tiles(n, max(1, TILE * PAIRS // n)))
    for t in range(job.size):
        gains = np.empty(n, dtype=np.float32)
        for done, tile in enumerate(tiles):
            rows = kernel(points[tile] @ points.T) if kept is None else kept[tile]
            gained = np.maximum(rows - cover, 0.0)
            gains[tile] = gained.sum(axis=1) if weights is None else gained @ weights
            if done + 1 < len(tiles):
                yield (t + (done + 1) / len(tiles)) / job.size
        gains[picks] = -np.inf
        pick = int(gains.argmax())
        picks.append(pick)
        cover = np.maximum(cover, kernel(points @ points[pick]) if kept is None else kept[pick])
        yield (t + 1) / job.size


def _tiles(rows: int, step: int) -> Iterator[slice]:
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


LOOPS: dict[str, Loop] = {
    "k_center": k_center,
    "badge": badge,
    "facility_location": facility_location,
    "max_herding": max_herding,
    "uherding": uherding,
}
