"""ALFA-Mix: items whose prediction flips when a little of a labelled class is mixed in."""

from typing import Annotated

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Integers, float64_rows, row_blocks
from strategies.kernels.centroid_picks import centroid_picks
from strategies.kernels.linear_head import LinearHead, centred_logits, linear_head
from strategies.kernels.products import Device
from strategies.parameters import Interval
from strategies.picks import Picks

# The least epsilon at which the pick's prediction flips; infinity where none does it.
MIXING = "mixing"


def alfa_mix(
    embeddings: Floats,
    probabilities: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    labelled_embeddings: Floats | None = None,
    labels: Integers | None = None,
    *,
    epsilon: Annotated[float, Interval(above=0)] = 0.2,
    device: Device = "cpu",
) -> Picks:
    """One item a cluster, among those whose prediction changes under the best feature mixing.

    The anchor z*_k is the mean of the labelled embeddings of class k. Mixing it into z gives
    alpha * z*_k + (1 - alpha) * z, and of all alpha with |alpha * (z*_k - z)| <= (epsilon /
    sqrt(d)) |z*_k - z| the one that raises the loss of the predicted class y most moves z to
    z + s_k g / |g|, s_k = (epsilon / sqrt(d)) |z*_k - z|, g = W^T (p - e_y) the loss's gradient.
    (It is computed without the division by z*_k - z of its usual form.) With the logits l and
    v = W g / |g| the prediction flips as soon as l_j + s v_j > l_y + s v_y for some j, and then
    for every larger s: the farthest anchor decides, and the least epsilon that flips has a closed
    form. The items for which it is below `epsilon` are the candidates; their embeddings are scaled
    to length 1 and clustered by k-means, and the item nearest to each centroid is picked. With
    fewer candidates than picks, all of them come first (least epsilon first) and the rest is
    drawn at random. Without labelled items there is no anchor: every item is a candidate.

    embeddings           (n, d), z
    probabilities        (n, c), p; W is recovered from them (see linear_head)
    eligible             (e,) int64, the items that may be picked; 1 <= size <= e
    labelled_embeddings  (m, d); labels (m,) their classes
    epsilon              how far to mix, in units of 1 / sqrt(d) of the way to the anchor
    device               where k-means computes its large products; the picks are the same
    returns              (size,) int64; details: `mixing`, the least epsilon that flips, and where
                         clusters were formed `cluster_size`; a warning where W fits badly

    O(n d (c + k)) time for k classes among the labels, and k-means of the candidates.

    Source: Parvaneh, Abbasnejad, Teney, Haffari, van den Hengel and Shi, Active Learning by Feature
    Mixing, CVPR 2022 (arXiv 2203.07034), section 3; epsilon: Gupte et al. 2024 (arXiv 2401.14555).
    """
    if labelled_embeddings is None or labels is None or len(labels) == 0:
        return centroid_picks(embeddings, eligible, size, rng, unit_length=True, device=device)
    anchors = _class_means(labelled_embeddings, labels)
    head = linear_head(embeddings, probabilities, eligible)
    mixing = np.empty(len(eligible))
    for block in row_blocks(len(eligible), embeddings.shape[1] + probabilities.shape[1]):
        rows = eligible[block]
        mixing[block] = _least_epsilon(embeddings[rows], probabilities[rows], anchors, head)
    flipping = np.flatnonzero(mixing < epsilon)
    if len(flipping) < size:
        rest = np.setdiff1d(np.arange(len(eligible)), flipping)
        drawn = rng.choice(rest, size - len(flipping), replace=False)
        first = flipping[np.argsort(mixing[flipping], kind="stable")]
        chosen = np.concatenate([first, drawn])
        return Picks(eligible[chosen], {MIXING: mixing[chosen]}, warnings=head.warnings())
    picks = centroid_picks(
        embeddings, eligible[flipping], size, rng, unit_length=True, device=device
    )
    chosen = np.searchsorted(eligible, picks.indices)
    details = {**picks.details, MIXING: mixing[chosen]}
    return Picks(picks.indices, details, warnings=head.warnings())


def _class_means(embeddings: Floats, labels: Integers) -> npt.NDArray[np.float64]:
    """(k, d): the mean of each class that has labelled items."""
    rows = float64_rows(embeddings, slice(None))
    return np.stack([rows[labels == label].mean(axis=0) for label in np.unique(labels)])


def _least_epsilon(
    embeddings: Floats, probabilities: Floats, anchors: npt.NDArray[np.float64], head: LinearHead
) -> npt.NDArray[np.float64]:
    """(r,): the least epsilon at which the farthest anchor flips the prediction of each row."""
    z = np.array(embeddings, dtype=np.float64, order="C")
    logits = centred_logits(probabilities)
    losses = np.array(probabilities, dtype=np.float64, order="C")
    rows = np.arange(len(z))
    predicted = losses.argmax(axis=1)
    losses[rows, predicted] -= 1.0
    gradients = losses @ head.weights
    lengths = np.sqrt(np.square(gradients).sum(axis=1, keepdims=True))
    steps = gradients @ head.weights.T / np.where(lengths > 0.0, lengths, 1.0)
    gaps = logits[rows, predicted][:, None] - logits
    closing = steps - steps[rows, predicted][:, None]
    needed = np.full_like(gaps, np.inf)
    np.divide(np.maximum(gaps, 0.0), closing, out=needed, where=closing > 0.0)
    squares = np.square(z).sum(axis=1)[:, None] - 2.0 * (z @ anchors.T)
    squares += np.square(anchors).sum(axis=1)
    reach = np.sqrt(np.maximum(squares.max(axis=1), 0.0) / z.shape[1])
    least: npt.NDArray[np.float64] = np.full(len(z), np.inf)
    np.divide(needed.min(axis=1), reach, out=least, where=reach > 0.0)
    return least
