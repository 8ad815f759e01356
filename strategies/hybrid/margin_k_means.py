"""Margin with k-means: the most ambiguous items, thinned out to one a cluster."""

from typing import Annotated

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.kernels.centroid_picks import centroid_picks
from strategies.kernels.products import Device
from strategies.parameters import Interval
from strategies.picks import Picks
from strategies.ranking import best_first
from strategies.uncertainty.margin import margin

MARGIN = "margin"  # the gap between the two most probable classes of the pick


def margin_k_means(
    embeddings: Floats,
    probabilities: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    candidates_per_pick: Annotated[float, Interval(least=1)] = 10.0,
    device: Device = "cpu",
) -> Picks:
    """Of the candidates_per_pick * size smallest margins, those nearest to `size` centroids.

    The margin is p(y1|x) - p(y2|x), y1 and y2 the most probable classes. The candidates'
    embeddings are scaled to length 1 and clustered by k-means; of each cluster the item nearest to
    its centroid is picked, that of the largest cluster first. Equal margins are ordered at random.

    embeddings           (n, d), x
    probabilities        (n, c), p(y|x)
    eligible             (e,) int64 ascending, the items that may be picked
    candidates_per_pick  candidates, as a multiple of size; 1 is plain margin sampling
    device               where the large products are computed; the picks are the same
    returns              (size,) picks; details: cluster_size (candidates in the pick's cluster),
                         distance_to_centroid and margin

    O(n c) + about candidates_per_pick size^2 d multiplications; O(candidates d) memory.

    Source: Zhdanov, Diverse Mini-batch Active Learning, 2019 (arXiv 1901.05954), without weights.
    """
    scores = margin(probabilities)
    count = min(len(eligible), max(size, round(candidates_per_pick * size)))
    candidates = np.sort(best_first(scores, eligible, count, rng))
    picks = centroid_picks(embeddings, candidates, size, rng, unit_length=True, device=device)
    return Picks(picks.indices, {**picks.details, MARGIN: 1.0 - scores[picks.indices]})
