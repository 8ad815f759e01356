"""Variation ratio of one prediction: label first where most probability lies off the mode."""

from strategies.arrays import Floats, Scores
from strategies.uncertainty.least_confidence import least_confidence


def variation_ratio(probabilities: Floats) -> Scores:
    """The share of the predictive distribution that is not at its mode: v(x) = 1 - max_y p(y|x).

    The variation ratio of a sample is 1 - f / t, with f of t votes for the modal class. A
    prediction's probabilities are those shares themselves, so for one model the score is the same
    number as `least_confidence`, under the name by which statistics knows it. Where several
    models vote, `members_variation_ratio` counts their votes.

    probabilities  (n, c), p(y|x)
    returns        (n,) float64 in [0, 1 - 1/c]; O(n c)

    Source: Freeman, Elementary Applied Statistics, 1965, chapter 5; as an acquisition function:
    Gal, Islam and Ghahramani 2017 (arXiv 1703.02910), section 4.
    """
    return least_confidence(probabilities)
