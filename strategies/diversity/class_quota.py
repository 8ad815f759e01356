"""A quota of the batch for each predicted class."""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Scores
from strategies.diversity.quotas import seated
from strategies.errors import StrategyError
from strategies.parameters import Interval
from strategies.picks import CLASS, QUOTA, Picks
from strategies.predicted_class import predicted_classes
from strategies.uncertainty.margin import margin

Preference = Literal["uncertain", "confident"]


def class_quota(
    probabilities: Floats,
    eligible: Indices,
    size: int,
    *,
    shares: Annotated[Mapping[str, float] | None, Interval(least=0.0)] = None,
    prefer: Preference = "uncertain",
) -> Picks:
    """Seats for the predicted classes in equal or given shares, filled within a class by margin.

    One seat after another goes to the class c with the lowest (k_c + 1/2) / f_c, k_c its seats so
    far, that still has items (Webster's rule), so every prefix of the batch holds the classes in
    their shares. Equal quotients go to the lowest class, equal margins to the lowest index.

    probabilities  (n, c); an item's class is its most probable one
    shares         f_c by the class number written as text, {"2": 3.0}: three times the seats of a
                   class that is not named, whose share is 1; a class of share 0 comes last
    prefer         within a class first the smallest gap p(y1|x) - p(y2|x) ("uncertain": what the
                   model would learn most from), or the largest ("confident": the items that most
                   probably are of that class, for a class of which examples are wanted)
    returns        Picks; CLASS the predicted class, QUOTA the batch's seats of it

    Raises StrategyError for a share of a class that the model does not have. O(n c + e log e).

    Source: quota sampling: Cochran, Sampling Techniques, chapter 5A; the rule of the seats:
    Balinski and Young, Fair Representation, 1982.
    """
    factors = class_factors("class_quota", shares, probabilities.shape[1])
    held = np.zeros(probabilities.shape[1], dtype=np.float64)
    return seated_by_class(probabilities, eligible, size, held, factors, prefer)


def seated_by_class(
    probabilities: Floats,
    eligible: Indices,
    size: int,
    held: npt.NDArray[np.float64],
    shares: npt.NDArray[np.float64],
    prefer: Preference,
) -> Picks:
    """Seats for the predicted classes, which hold some already: see strategies/diversity/quotas.py.

    held, shares  (c,) float64
    """
    order = eligible[np.argsort(-preference(probabilities, prefer)[eligible], kind="stable")]
    classes = predicted_classes(probabilities, order)
    places = seated(classes, size, held, shares, np.arange(len(held)))
    own = classes[places]
    return Picks(order[places], {CLASS: own, QUOTA: np.bincount(own, minlength=len(held))[own]})


def preference(probabilities: Floats, prefer: Preference) -> Scores:
    """Higher = sooner within a class: one minus the margin, or the margin: (n,) in [0, 1]."""
    uncertainty = margin(probabilities)
    return uncertainty if prefer == "uncertain" else 1.0 - uncertainty


def class_factors(
    name: str, shares: Mapping[str, float] | None, classes: int
) -> npt.NDArray[np.float64]:
    """The shares as (c,) float64, 1 where a class is not named."""
    factors = np.ones(classes, dtype=np.float64)
    for key, share in (shares or {}).items():
        if not key.isascii() or not key.isdigit() or int(key) >= classes:
            raise StrategyError(
                f"{name}: shares names the class {key!r}; the model's classes are "
                f'"0" to "{classes - 1}"'
            )
        factors[int(key)] = share
    return factors
