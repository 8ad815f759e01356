"""Drawing without replacement in proportion to weights, by Gumbel noise, with what it promises."""

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Scores
from strategies.errors import StrategyError

Noise: TypeAlias = Literal["power", "softmax", "softrank"]


def draw(
    log_weights: Scores, size: int, rng: np.random.Generator
) -> tuple[Indices, npt.NDArray[np.float64]]:
    """The `size` items with the highest log w_i + g_i, g_i ~ Gumbel(0, 1) independent, in order.

    That order is the order of drawing one after another without replacement, each time in
    proportion to the weights w_i of what is left. Items of weight 0 (log weight -inf) come after
    all others, in random order among themselves.

    The second result is each drawn item's inclusion probability given the threshold t, the
    highest perturbed value that was not drawn: q_i = 1 - exp(-w_i e^-t). For any numbers x_i the
    sum of x_i / q_i over the drawn items has the expectation sum_i x_i over all, whatever t is,
    so the drawn items may be weighed with nothing else known. Where only items of weight 0 are
    left over, every item above 0 was certain (q = 1), and the e items of weight 0 shared the f
    places that were left (q = f / e).

    log_weights  (e,) float64 without NaN or +inf, of any common offset
    size         number of draws, 0 <= size; at most e are made
    returns      (min(size, e),) positions int64, the same shape float64 in (0, 1]
    cost         O(e log e)

    Source: Gumbel-max: Yellott 1977; several draws: Kool, van Hoof and Welling, Stochastic Beams
    and Where to Find Them, ICML 2019 (arXiv 1903.06059), sections 2 and 4.1; unbiased totals:
    Duffield, Lund and Thorup, Priority Sampling, JACM 2007.
    """
    noise = rng.gumbel(size=len(log_weights))
    perturbed = log_weights + noise
    order = np.lexsort((-noise, -perturbed))
    drawn = order[:size].astype(np.int64)
    threshold = -np.inf if size >= len(order) else float(perturbed[order[size]])
    if np.isneginf(threshold):
        empty = np.isneginf(log_weights)
        filled = empty[drawn]
        share = filled.sum() / max(1, int(empty.sum()))
        return drawn, np.where(filled, share, 1.0)
    with np.errstate(over="ignore", under="ignore"):
        probability = -np.expm1(-np.exp(log_weights[drawn] - threshold))
    # A weight that is vanishingly small beside the threshold's was drawn all the same.
    return drawn, np.maximum(probability, np.finfo(np.float64).tiny)


def log_weights(
    scores: Scores, beta: float, noise: Noise, boosts: Floats | None, name: str
) -> Scores:
    """What `draw` takes, from scores (higher = sooner) and boosts by hand.

    power     w_i = s_i ^ beta, for scores s_i >= 0
    softmax   w_i = exp(beta s_i)
    softrank  w_i = r_i ^ -beta, r_i the rank by score, 1 for the highest, equal scores sharing
              the best rank among them; any scores

    each times the item's boost. beta = 0 would be uniform, a large beta the highest scores.

    scores   (e,) float64
    boosts   (e,) floats >= 0, or None
    name     of what gives the scores, for the message
    returns  (e,) float64, -inf where the weight is 0

    Raises StrategyError for a negative score with power noise.

    Source: Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal, Stochastic Batch
    Acquisition, TMLR 2023 (arXiv 2106.12059), table 1.
    """
    with np.errstate(divide="ignore"):
        if noise == "softmax":
            logarithms = beta * scores
        elif noise == "softrank":
            ascending = np.sort(-scores)
            logarithms = -beta * np.log1p(np.searchsorted(ascending, -scores, side="left"))
        elif scores.min(initial=0.0) < 0.0:
            raise StrategyError(
                f"power noise needs scores of at least 0, and {name} gives {scores.min():g}; "
                'use "noise": "softrank", which takes any scores'
            )
        else:
            logarithms = beta * np.log(scores)
        if boosts is not None:
            logarithms = logarithms + np.log(boosts.astype(np.float64))
    return logarithms
