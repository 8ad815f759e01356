"""PowerBALD: a batch drawn by chance in proportion to a power of BALD."""

from typing import Annotated

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.parameters import Interval
from strategies.picks import GAIN, INCLUSION_PROBABILITY, Picks
from strategies.random_sampling.gumbel import Noise, draw, log_weights
from strategies.uncertainty.bald import bald


def power_bald(
    members: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    weights: Floats | None = None,
    *,
    beta: Annotated[float, Interval(above=0)] = 1.0,
    noise: Noise = "power",
) -> Picks:
    """The `size` items with the highest beta log I(x) + g(x), g ~ Gumbel(0, 1) independent.

    I(x) is `bald`. The highest scores of a large pool are often near copies of each other; drawn
    in proportion to I(x)^beta the batch keeps what the score knows and loses the copies, at the
    price of one sort. Items on which the members agree (I = 0) come last, at random. An item's
    boost multiplies its weight. The same as {"power": {"of": "bald", "beta": beta}}.

    members   (k, n, c), p_j(y|x) of member j = 1..k; with one member the batch is random
    eligible  (e,) int64; 1 <= size <= e
    weights   (n,) boosts >= 0, or None
    beta      1 as in the paper; higher is closer to the highest scores
    noise     "power": w = I^beta; "softmax": w = exp(beta I); "softrank": w = rank^-beta
    returns   the picks in the order of drawing; details: gain I(x) in nats, and the inclusion
              probability given the threshold (see `draw`), by which totals are unbiased
    cost      O(k n c + e log e) time, blocks of rows in memory

    Source: Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal, Stochastic Batch
    Acquisition: A Simple Baseline for Deep Active Learning, TMLR 2023 (arXiv 2106.12059),
    section 3 and table 1.
    """
    scores = bald(members)
    boosts = None if weights is None else weights[eligible]
    logarithms = log_weights(scores[eligible], beta, noise, boosts, "bald")
    drawn, probability = draw(logarithms, size, rng)
    indices = eligible[drawn]
    return Picks(indices, {GAIN: scores[indices], INCLUSION_PROBABILITY: probability})
