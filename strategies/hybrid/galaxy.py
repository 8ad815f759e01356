"""GALAXY: bisect each class's line between what is labelled that class and what is not."""

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Integers, row_blocks
from strategies.kernels.labelled_predictions import labelled_probabilities
from strategies.picks import CLASS, Picks

# Positions on lines that are kept for the next time a class is drawn: 256 MiB.
KEPT_POSITIONS = 1 << 25


def galaxy(
    embeddings: Floats,
    probabilities: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    labelled_embeddings: Floats | None = None,
    labels: Integers | None = None,
) -> Picks:
    """Picks in the middle of the shortest gap between opposite labels on a random class's line.

    On the line of class k all eligible and labelled items stand in the order of
    delta_k(x) = p(k|x) - max_y p(y|x), those predicted k (all 0) by p(k|x). For each pick a class
    k is drawn uniformly, and

    1. of the runs of unlabelled items between two labelled neighbours of which exactly one is of
       class k, the middle of the shortest is picked (the run nearest the end of k where equal);
    2. without such a run, the unlabelled item fewest places from a cut: two labelled neighbours
       on the line of which exactly one is of class k (towards the end of k where equal);
    3. without a cut, an item at random.

    Each bisects a boundary of k, however rare k is, so batches are much more balanced than by
    uncertainty alone. The labels of a batch are not there before its end: until then a pick counts
    as labelled with its most probable class. The model's predictions of the labelled items, their
    places on the lines, are those of the linear head that is recovered from the pool's own
    embeddings and probabilities. Labelled items count only where both `labels` and
    `labelled_embeddings` are given; without any, the first pick is random.

    embeddings           (n, d)
    probabilities        (n, c), p
    eligible             (e,) int64; 1 <= size <= e
    labelled_embeddings  (m, d) or None
    labels               (m,) class numbers below c, or None
    returns              the picks in order; detail class, the k whose boundary it bisects
    cost                 O((e + m) log(e + m)) a class and O((m + size) log(m + size)) a pick;
                         with so many classes that their lines pass 256 MiB, the first for each
                         pick

    Source: Zhang, Katz-Samuels and Nowak, GALAXY: Graph-based Active Learning at the Extreme,
    ICML 2022 (arXiv 2202.01402), section 4 and algorithm 2; shortest shortest path: Dasarathy,
    Nowak and Zhu, S2, COLT 2015.
    """
    classes = probabilities.shape[1]
    count = len(eligible)
    known: Indices = np.zeros(0, dtype=np.int64)
    placed: npt.NDArray[np.float64] = np.zeros((0, classes))
    if labels is not None and labelled_embeddings is not None and len(labels):
        known = labels.astype(np.int64)
        placed = labelled_probabilities(embeddings, probabilities, labelled_embeddings)
    lines = _Lines(probabilities, eligible, placed)
    predicted = lines.predicted
    # Nodes: the eligible items 0..e-1, then the labelled ones.
    labelled: Indices = np.arange(count, count + len(known))
    truth: Indices = known
    free = np.ones(count, dtype=np.bool_)
    picks = np.empty(size, dtype=np.int64)
    drawn = rng.integers(classes, size=size)
    order = rng.permutation(count)
    next_random = 0
    for step, k in enumerate(drawn):
        at, node = lines.line(int(k))
        pick = _bisection(at[labelled], truth == k, len(node))
        if pick is None:
            while not free[order[next_random]]:
                next_random += 1
            chosen = int(order[next_random])
        else:
            chosen = int(node[pick])
        free[chosen] = False
        picks[step] = chosen
        labelled = np.append(labelled, chosen)
        truth = np.append(truth, predicted[chosen])
    return Picks(eligible[picks], {CLASS: drawn})


def _bisection(places: Indices, positive: npt.NDArray[np.bool_], length: int) -> int | None:
    """The place on the line to label next by rules 1 and 2, or None.

    places    (l,) where the labelled items stand on a line of `length` nodes, high = class k
    positive  (l,) whether each is of class k
    """
    order = np.argsort(places)
    places, positive = places[order], positive[order]
    opposite = positive[1:] != positive[:-1]
    between = places[1:] - places[:-1] - 1
    runs = np.flatnonzero(opposite & (between > 0))
    if len(runs):
        run = runs[::-1][between[runs[::-1]].argmin()]
        return int(places[run] + 1 + between[run] // 2)
    cuts = np.flatnonzero(opposite)
    if not len(cuts):
        return None
    # For each labelled place the ends of the block of labelled places that it stands in.
    breaks = np.flatnonzero(between > 0)
    starts = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks, [len(places) - 1]])
    block = np.searchsorted(ends, cuts)
    above = places[ends[block]] + 1
    below = places[starts[block]] - 1
    upward = np.where(above < length, above - places[cuts], length + 1)
    downward = np.where(below >= 0, places[cuts] + 1 - below, length + 1)
    best = int(np.minimum(upward, downward)[::-1].argmin())
    best = len(cuts) - 1 - best
    if min(upward[best], downward[best]) > length:
        return None
    return int(above[best]) if upward[best] <= downward[best] else int(below[best])


class _Lines:
    """The line of each class, made when it is first drawn and kept while there is room."""

    def __init__(
        self, probabilities: Floats, eligible: Indices, placed: npt.NDArray[np.float64]
    ) -> None:
        self.probabilities = probabilities
        self.eligible = eligible
        self.placed = placed
        self.count = len(eligible) + len(placed)
        self.predicted = np.empty(self.count, dtype=np.int64)
        self.highest = np.empty(self.count)
        for rows in row_blocks(len(eligible), probabilities.shape[1]):
            block = probabilities[eligible[rows]]
            self.predicted[rows] = block.argmax(axis=1)
            self.highest[rows] = block.max(axis=1)
        self.predicted[len(eligible) :] = placed.argmax(axis=1)
        self.highest[len(eligible) :] = placed.max(axis=1)
        self._kept: dict[int, tuple[Indices, Indices]] = {}

    def line(self, k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where each node stands on the line of class k, and the node at each place."""
        if k in self._kept:
            return self._kept[k]
        values = np.concatenate([self.probabilities[self.eligible, k], self.placed[:, k]])
        values = values.astype(np.float64)
        mine = self.predicted == k
        values[~mine] -= self.highest[~mine]
        node = np.argsort(values, kind="stable")
        at = np.empty_like(node)
        at[node] = np.arange(self.count)
        if 2 * self.count * (len(self._kept) + 1) <= KEPT_POSITIONS:
            self._kept[k] = (at, node)
        return at, node
