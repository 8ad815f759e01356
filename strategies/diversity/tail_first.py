"""Items that the model takes for the classes with the fewest labels come first."""

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Integers, Scores
from strategies.diversity.class_quota import Preference, preference, seated_by_class
from strategies.picks import Picks
from strategies.predicted_class import predicted_classes


def tail_first_score(
    probabilities: Floats, labels: Integers | None = None, *, prefer: Preference = "uncertain"
) -> Scores:
    """-h_y + q(x), y the most probable class of x, h_y its labels so far.

    The class decides; q in [0, 1) orders the items within it: by uncertainty, one minus the gap of
    the two most probable classes (times 0.999), or by confidence, the gap itself.

    probabilities  (n, c)
    labels         (m,) classes of the labelled items; None: all h_c = 0
    returns        (n,) float64, higher = label sooner

    Source: the aim, more labels for the classes that have fewest: Bengar et al., Class-Balanced
    Active Learning for Image Classification, WACV 2022 (arXiv 2110.04543).
    """
    held = label_counts(labels, probabilities.shape[1])
    within: Scores = 0.999 * preference(probabilities, prefer)
    return within - held[predicted_classes(probabilities)]


def tail_first(
    probabilities: Floats,
    eligible: Indices,
    size: int,
    labels: Integers | None = None,
    *,
    prefer: Preference = "uncertain",
) -> Picks:
    """As by the score, but each pick counts as a label of its predicted class at once.

    One pick after another is of the class y with the fewest h_y + k_y that still has items, h_y its
    labels and k_y its picks so far: the tail is filled up to the next class, then both together.
    Equal counts go to the lowest class, equal margins to the lowest index.

    probabilities  (n, c); an item's class is its most probable one
    labels         (m,) classes of the labelled items; None: all h_c = 0
    prefer         within a class the most "uncertain" by margin first, or the most "confident"
    returns        Picks; CLASS the predicted class, QUOTA the batch's items of it

    O(n c + e log e).

    Source: as for the score; Balinski and Young, Fair Representation, 1982 (the rule of the seats).
    """
    classes = probabilities.shape[1]
    held = label_counts(labels, classes)
    return seated_by_class(probabilities, eligible, size, held, np.ones(classes), prefer)


def label_counts(labels: Integers | None, classes: int) -> npt.NDArray[np.float64]:
    """How many labelled items each class has: (c,) float64."""
    if labels is None:
        return np.zeros(classes, dtype=np.float64)
    return np.bincount(labels, minlength=classes).astype(np.float64)
