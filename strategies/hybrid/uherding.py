"""UHerding: MaxHerding in which an item counts for as much as the model is unsure of it."""

from typing import Annotated

from strategies.arrays import Floats, Indices
from strategies.kernels.herding import SAMPLE, Herding, herding, labelled_bandwidth
from strategies.kernels.products import Device
from strategies.parameters import Interval
from strategies.picks import Picks
from strategies.uncertainty.margin import margin


def uherding(
    embeddings: Floats,
    probabilities: Floats,
    eligible: Indices,
    size: int,
    labelled_embeddings: Floats | None = None,
    *,
    bandwidth: Annotated[float, Interval(above=0)] = 1.0,
    adaptive_quantile: Annotated[float | None, Interval(least=0, most=1)] = None,
    center: bool = True,
    sample: Annotated[int, Interval(least=16)] = SAMPLE,
    device: Device = "cpu",
) -> Picks:
    """Greedy maximum of C(S) = sum_j u_j max_{i in L + S} k(z_i, z_j) / sum_j u_j.

    k = exp(-|z_i - z_j|^2 / h^2); u_j = 1 - (p(y1|x_j) - p(y2|x_j)), the margin's score. j runs
    over every row of the pool, i over the eligible ones. As h shrinks, k becomes 1 for the item
    itself and 0 for all others, and the picks become those of margin; as u becomes equal, those of
    MaxHerding. z, the exactness and the sample are as in max_herding, except that half of a sample
    follows u, so that rare unsure items are in it.

    embeddings           (n, d)
    probabilities        (n, c), p(y|x); y1 and y2 are the two most probable classes
    eligible             (e,) int64 ascending, the items that may be picked; 1 <= size <= e
    labelled_embeddings  (m, d), L; None or m = 0 where nothing is labelled
    bandwidth            h, in distances between rows of length 1 (0 to 2)
    adaptive_quantile    where given and two different labelled rows are there, h is this quantile
                         of the labelled items' nearest-neighbour distances; it shrinks as labels
                         come. The authors take the least (0), which one pair of near-duplicates
                         makes tiny: prefer 0.05
    center, sample, device  as in max_herding
    returns              (size,) picks; details: gain (what the pick adds to C) and covered; a
                         warning where the median k between items is above 0.6

    q^2 d + n m d multiplications for q = min(n, sample); O(q d) memory and at most 16 million
    pairs.

    Source: Bae, Sutherland and Oliveira, Uncertainty Herding: One Active Learning Method for All
    Label Budgets, ICLR 2025 (arXiv 2412.20644), section 3.
    """
    if adaptive_quantile is not None:
        adapted = labelled_bandwidth(embeddings, labelled_embeddings, center, adaptive_quantile)
        bandwidth = adapted if adapted is not None else bandwidth
    how = Herding(bandwidth, center, sample, device)
    return herding(embeddings, eligible, size, labelled_embeddings, margin(probabilities), how)
