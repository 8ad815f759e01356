"""k-means in probability space: one pick from each group of items that are predicted alike."""

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.kernels.centroid_picks import centroid_picks
from strategies.kernels.products import Device
from strategies.picks import CLASS, Picks


def cluster_predictions(
    probabilities: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    device: Device = "cpu",
) -> Picks:
    """The items nearest to the centroids that minimise sum_i min_j |p_i - c_j|^2.

    What the model confuses alike lies together in the simplex, sure items in its corners; one pick
    from each of `size` clusters covers every way of being sure or unsure. The largest cluster's
    item comes first. Where there are fewer distinct predictions than picks, the next nearest
    follow.

    probabilities  (n, c), p(y|x)
    eligible       (e,) int64 ascending, the items that are clustered and may be picked
    device         where the large products are computed; the picks are the same
    returns        (size,) picks; details: cluster_size, distance_to_centroid and class (the most
                   probable one of the pick)

    About e size c multiplications once or twice; O(e c) memory beside the input.

    Source: k-means (Lloyd 1982, MacQueen 1967) on the model's output, as diversity is measured in
    probability space by Gilhuber et al., FALCUN, ECML PKDD 2024.
    """
    picks = centroid_picks(probabilities, eligible, size, rng, device=device)
    predicted = probabilities[picks.indices].argmax(axis=1).astype(np.int64)
    return Picks(picks.indices, {**picks.details, CLASS: predicted})
