"""DropQuery: items whose prediction changes when much of their embedding is dropped."""

from typing import Annotated

import numpy as np

from strategies.arrays import Floats, Indices, row_blocks
from strategies.kernels.centroid_picks import centroid_picks
from strategies.kernels.linear_head import LinearHead, linear_head
from strategies.kernels.products import Device
from strategies.parameters import Interval
from strategies.picks import Picks

# The share of the passes with dropout in which the pick's prediction changed.
DISAGREEMENT = "disagreement"
# The threshold falls while there are fewer candidates than this many a pick.
CANDIDATES_A_PICK = 25


def dropquery(
    embeddings: Floats,
    probabilities: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    passes: Annotated[int, Interval(least=1)] = 3,
    dropout: Annotated[float, Interval(above=0, most=0.99)] = 0.75,
    device: Device = "cpu",
) -> Picks:
    """One item a cluster, among those on which the head disagrees with itself under dropout.

    m_i = number of passes with argmax_k (W (u * z_i) / (1 - dropout) + b)_k != argmax_k p_ik,
    u ~ Bernoulli(1 - dropout) for each coordinate, item and pass. The candidates are the items with
    m_i > t, t = passes // 2; while they are fewer than CANDIDATES_A_PICK * size, t falls, to 0 at
    least. Their embeddings are scaled to length 1 and clustered by k-means, and the item nearest
    to each centroid is picked. With fewer candidates than picks, all of them come first (highest m
    first) and the rest is drawn at random.

    embeddings     (n, d), z
    probabilities  (n, c), p; W and b are recovered from them (see linear_head)
    eligible       (e,) int64, the items that may be picked; 1 <= size <= e
    passes         how often the head is asked; dropout: the share of coordinates that is dropped
    device         where k-means computes its large products; the picks are the same
    returns        (size,) int64; details: `disagreement`, m_i / passes, and where clusters were
                   formed `cluster_size`; a warning where W fits badly

    O(passes n d c) time, and k-means of the candidates.

    Source: Gupte, Aklilu, Nirschl and Yeung-Levy, Revisiting Active Learning in the Era of Vision
    Foundation Models, TMLR 2024 (arXiv 2401.14555), section 4.
    """
    head = linear_head(embeddings, probabilities, eligible)
    changes = np.zeros(len(eligible), dtype=np.int64)
    for block in row_blocks(len(eligible), embeddings.shape[1]):
        rows = eligible[block]
        predicted = probabilities[rows].argmax(axis=1)
        changes[block] = _changes(embeddings[rows], predicted, head, passes, dropout, rng)
    threshold = passes // 2
    while threshold > 0 and np.count_nonzero(changes > threshold) < CANDIDATES_A_PICK * size:
        threshold -= 1
    unstable = np.flatnonzero(changes > threshold)
    if len(unstable) < size:
        rest = np.flatnonzero(changes <= threshold)
        drawn = rng.choice(rest, size - len(unstable), replace=False)
        first = unstable[np.argsort(-changes[unstable], kind="stable")]
        chosen = np.concatenate([first, drawn])
        details = {DISAGREEMENT: changes[chosen] / passes}
        return Picks(eligible[chosen], details, warnings=head.warnings())
    picks = centroid_picks(
        embeddings, eligible[unstable], size, rng, unit_length=True, device=device
    )
    chosen = np.searchsorted(eligible, picks.indices)
    details = {**picks.details, DISAGREEMENT: changes[chosen] / passes}
    return Picks(picks.indices, details, warnings=head.warnings())


def _changes(
    embeddings: Floats,
    predicted: Indices,
    head: LinearHead,
    passes: int,
    dropout: float,
    rng: np.random.Generator,
) -> Indices:
    """(r,): in how many passes the prediction of each row differs from `predicted`."""
    weights = (head.weights.T / (1.0 - dropout)).astype(embeddings.dtype)
    biases = head.biases.astype(embeddings.dtype)
    changes = np.zeros(len(embeddings), dtype=np.int64)
    for _ in range(passes):
        kept = rng.random(embeddings.shape, dtype=np.float32) >= np.float32(dropout)
        logits = (embeddings * kept) @ weights
        logits += biases
        changes += logits.argmax(axis=1) != predicted
    return changes
