"""k-means: one pick from each of as many clusters as there are picks."""

from typing import Literal

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.kernels.centroid_picks import centroid_picks
from strategies.kernels.products import Device
from strategies.picks import Picks


def k_means(
    embeddings: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    device: Device = "cpu",
) -> Picks:
    """The items nearest to the centroids c_1 .. c_size that minimise sum_i min_j |x_i - c_j|^2.

    The eligible items are clustered (k-means++ seeds, then Hartigan's moves to a local minimum);
    of each cluster the item nearest to its centroid is picked, that of the largest cluster first.
    Where there are fewer distinct items than picks, the next nearest follow.

    embeddings  (n, d), x
    eligible    (e,) int64 ascending, the items that are clustered and may be picked
    metric      Euclidean, or Euclidean between rows scaled to length 1 (the order of cosine
                distance; a row of zeros stays)
    device      where the large products are computed; the picks are the same
    returns     (size,) picks; details: cluster_size (items in the pick's cluster) and
                distance_to_centroid

    About e size d multiplications once or twice; O(e d) memory beside the input.

    Source: Xu et al., Representative Sampling for Text Classification Using Support Vector
    Machines, ECIR 2003; Zhdanov, Diverse Mini-batch Active Learning, 2019 (arXiv 1901.05954).
    """
    return centroid_picks(
        embeddings, eligible, size, rng, unit_length=metric == "cosine", device=device
    )
