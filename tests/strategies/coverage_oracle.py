"""Greedy coverage as a slow, obvious float64 loop over the whole matrix of values."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def on_the_sphere(rows: npt.NDArray[np.floating], mean: Doubles | None) -> Doubles:
    moved = np.array(rows, dtype=np.float64) - (0.0 if mean is None else mean)
    lengths = np.sqrt((moved**2).sum(axis=1, keepdims=True))
    return np.where(lengths > 1e-12, moved / np.where(lengths > 1e-12, lengths, 1.0), 0.0)


def gaussian(bandwidth: float) -> Callable[[Doubles, Doubles], Doubles]:
    return lambda z, row: np.exp(-((z - row) ** 2).sum(axis=1) / bandwidth**2)


def clipped_cosine(z: Doubles, row: Doubles) -> Doubles:
    return np.maximum((z * row).sum(axis=1), 0.0)


def ball(radius: float) -> Callable[[Doubles, Doubles], Doubles]:
    return lambda z, row: (((z - row) ** 2).sum(axis=1) < radius**2).astype(np.float64)


def greedy_loop(
    embeddings: npt.NDArray[np.floating],
    size: int,
    value: Callable[[Doubles, Doubles], Doubles],
    *,
    labelled: npt.NDArray[np.floating] | None = None,
    eligible: npt.NDArray[np.int64] | None = None,
    weights: Doubles | None = None,
    centre: bool = False,
    counts: bool = False,
) -> tuple[list[int], list[float]]:
    """The picks, and the objective (a share of its most) after each of them.

    Equal gains go to the candidate that is covered worst itself (where gains are counts, not), then
    to the lowest index; once nothing gains, the lowest index.
    """
    mean = np.array(embeddings, dtype=np.float64).mean(axis=0) if centre else None
    z = on_the_sphere(embeddings, mean)
    values = np.stack([value(z, row) for row in z])
    u = np.ones(len(z)) if weights is None else weights
    covered = np.zeros(len(z))
    if labelled is not None:
        for row in on_the_sphere(labelled, mean):
            covered = np.maximum(covered, value(z, row))
    is_open = np.zeros(len(z), dtype=bool)
    is_open[np.arange(len(z)) if eligible is None else eligible] = True
    picks, objectives = [], []
    for _ in range(size):
        gains = np.where(is_open, (np.maximum(values - covered, 0.0) * u).sum(axis=1), -1.0)
        best = gains.max()
        tied = np.flatnonzero(gains >= best - 1e-12 * best - 1e-14)
        if not counts and best > 1e-14:
            tied = tied[covered[tied] <= covered[tied].min() + 1e-12]
        pick = int(tied[0])
        picks.append(pick)
        is_open[pick] = False
        covered = np.maximum(covered, values[pick])
        objectives.append(float((covered * u).sum() / u.sum()))
    return picks, objectives


def clustered(
    n: int, dimensions: int, dtype: type, *, clusters: int = 12, spread: float = 0.5, seed: int = 0
) -> npt.NDArray[np.floating]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dimensions))
    noise = spread * rng.normal(size=(n, dimensions))
    return (centres[rng.integers(clusters, size=n)] + noise).astype(dtype)
