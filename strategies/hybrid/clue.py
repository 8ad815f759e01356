"""CLUE: clusters in which uncertain items weigh more, one pick from each."""

from typing import Literal

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.kernels.centroid_picks import centroid_picks
from strategies.kernels.products import Device
from strategies.picks import Picks
from strategies.uncertainty.entropy import entropy

ENTROPY = "entropy"  # of the pick, in nats


def clue(
    embeddings: Floats,
    probabilities: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    device: Device = "cpu",
) -> Picks:
    """The items nearest to the centroids that minimise sum_i H(p_i) min_j |x_i - c_j|^2.

    Weighted k-means with `size` clusters: uncertain regions get more, and smaller, clusters. Of
    each cluster the item nearest to its (weighted) centroid is picked, that of the cluster with
    the most entropy first. Where every entropy is 0 all items weigh the same.

    embeddings     (n, d), x
    probabilities  (n, c), p; H(p) = -sum_y p(y) log p(y) (temperature 1)
    eligible       (e,) int64 ascending, the items that are clustered and may be picked
    metric         Euclidean, or Euclidean between rows scaled to length 1
    device         where the large products are computed; the picks are the same
    returns        (size,) picks; details: cluster_size, distance_to_centroid and entropy

    About e size d multiplications once or twice; O(e d) memory beside the input.

    Source: Prabhu et al., Active Domain Adaptation via Clustering Uncertainty-weighted Embeddings,
    ICCV 2021 (arXiv 2010.08666), section 3.
    """
    entropies = entropy(probabilities)
    picks = centroid_picks(
        embeddings,
        eligible,
        size,
        rng,
        weights=entropies[eligible],
        unit_length=metric == "cosine",
        device=device,
    )
    return Picks(picks.indices, {**picks.details, ENTROPY: entropies[picks.indices]})
