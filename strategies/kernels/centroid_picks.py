"""One pick a cluster of k-means: the item nearest to the centroid, with its cluster's size."""

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.kernels.k_means import clusters
from strategies.kernels.products import Device
from strategies.picks import CLUSTER_SIZE, Picks

# The distance of a pick to the centroid that it stands for, in the unit of the embeddings.
DISTANCE_TO_CENTROID = "distance_to_centroid"


def centroid_picks(
    points: Floats,
    candidates: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    weights: Floats | None = None,
    unit_length: bool = False,
    device: Device = "cpu",
) -> Picks:
    """`size` distinct candidates as by `nearest_to_centroids`, and why each was picked."""
    found = clusters(
        points, candidates, size, rng, weights=weights, unit_length=unit_length, device=device
    )
    items = found.nearest_items(size)
    details = {
        CLUSTER_SIZE: found.sizes[found.assignment[items]],
        DISTANCE_TO_CENTROID: found.distances[items],
    }
    return Picks(candidates[items], details)
