"""The arrays that every contender gets: made once, memory-mapped by each process."""

from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

BLOCK = 50_000
CLUSTERS = 200
MEMBERS = 20
# Of the noise around a cluster's centre, whose length is 1: neighbours meet at about 0.7.
SPREAD = 0.65
# Standard deviation of the logits: a head that is sure of some items and torn over others.
LOGITS = 2.0


def make_arrays(
    folder: Path, *, n: int, dimensions: int, classes: int, labelled: int, kind: str, seed: int
) -> None:
    """Write the pool, the labelled items and a head's predictions as .npy files.

    Every block of rows has a random stream of its own: the first rows of a larger pool are the
    smaller pool. Rows are float32 of length 1.

    kind  "clustered": 200 centres of unequal weight and their surroundings; "isotropic": uniform
          on the sphere, the worst case of whatever prunes by distance
    """
    source = np.random.default_rng([seed, 0])
    centres = _unit(source.standard_normal((CLUSTERS, dimensions), dtype=np.float32))
    weights = source.dirichlet(np.full(CLUSTERS, 2.0))
    classes_of_clusters = source.integers(classes, size=CLUSTERS)
    directions = source.standard_normal((dimensions, classes), dtype=np.float32)

    def rows(stream: int, count: int) -> tuple[Matrix, npt.NDArray[np.int64]]:
        rng = np.random.default_rng([seed, 1, stream])
        cluster = rng.choice(CLUSTERS, size=count, p=weights)
        points = rng.standard_normal((count, dimensions), dtype=np.float32)
        if kind == "isotropic":
            points = _unit(points)
            return points, (points @ directions).argmax(axis=1)
        points *= np.float32(SPREAD / np.sqrt(dimensions))
        points += centres[cluster]
        return _unit(points), classes_of_clusters[cluster]

    known, labels = rows(0, labelled)
    head = np.stack(
        [
            known[labels == c].mean(axis=0) if (labels == c).any() else np.zeros(dimensions)
            for c in range(classes)
        ],
        axis=1,
    ).astype(np.float32)
    head *= np.float32(LOGITS) / (known @ head).std()
    noise = np.float32(0.7) * head.std()
    heads = head + noise * source.standard_normal((MEMBERS, *head.shape), dtype=np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "labelled_embeddings.npy", known)
    np.save(folder / "labels.npy", labels.astype(np.int64))
    np.save(folder / "head.npy", head)

    def opened(name: str, *shape: int) -> Matrix:
        return np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape
        )

    embeddings = opened("embeddings", n, dimensions)
    probabilities = opened("probabilities", n, classes)
    previous = opened("previous_probabilities", n, classes)
    members = opened("members", MEMBERS, n, classes)
    for stream, start in enumerate(range(0, n, BLOCK), 1):
        # Whole blocks are drawn, so that a shorter pool is a prefix.
        block = rows(stream, BLOCK)[0][: n - start]
        part = slice(start, start + len(block))
        embeddings[part] = block
        probabilities[part] = softmax(block @ head)
        previous[part] = softmax(block @ (head + heads[0]) / 2)
        for member in range(MEMBERS):
            members[member, part] = softmax(block @ heads[member])
    for array in (embeddings, probabilities, previous, members):
        array.flush()


class Arrays:
    """The first n items of the arrays in a folder, memory-mapped as they are asked for."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder = folder
        self.n = n

    def _opened(self, name: str) -> npt.NDArray[np.float32]:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")

    @cached_property
    def embeddings(self) -> Matrix:
        """(n, d)"""
        return self._opened("embeddings")[: self.n]

    @cached_property
    def probabilities(self) -> Matrix:
        """(n, c)"""
        return self._opened("probabilities")[: self.n]

    @cached_property
    def previous_probabilities(self) -> Matrix:
        """(n, c)"""
        return self._opened("previous_probabilities")[: self.n]

    @cached_property
    def members(self) -> Matrix:
        """(k, n, c)"""
        return self._opened("members")[:, : self.n]

    @cached_property
    def labelled_embeddings(self) -> Matrix:
        """(m, d)"""
        return self._opened("labelled_embeddings")

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """(m,)"""
        return np.load(self.folder / "labels.npy")

    @cached_property
    def head(self) -> Matrix:
        """(d, c): the weights of the linear head that gave the probabilities"""
        return np.load(self.folder / "head.npy")


def softmax(logits: Matrix) -> Matrix:
    """Rows of probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _unit(rows: Matrix) -> Matrix:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= lengths
    return rows
