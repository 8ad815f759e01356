"""Items with a rare or extreme property: very blurred, very dark, very long, of rare words."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from strategies.arrays import Column, Indices, Scores
from strategies.metadata_columns import numeric_columns
from strategies.picks import Picks

NAME = "rare_properties"
# In a normal distribution: the distance of a quartile from the median over the mean distance.
QUARTILE_PER_MEAN_DEVIATION = 0.8453
Side = Literal["both", "low", "high"]


def rare_properties_score(
    metadata: Mapping[str, Column],
    *,
    columns: tuple[str, ...] = (),
    side: Side = "both",
    combine: Literal["maximum", "mean"] = "maximum",
) -> Scores:
    """max_j or mean_j of |x_j - median_j| / (2 |quartile_j - median_j|), the quartile of x's side.

    That is the distance from the median in interquartile ranges, with each side of a skewed column
    measured by its own half of the range, so that the long tail alone does not fill the batch.
    Where half of the range is empty (more than a quarter of the items share the median), the other
    half stands for it; where both are, the mean distance from the median, scaled to agree for a
    normal column; a constant column adds 0, as does a missing value.

    metadata  {column: (n,)}
    columns   the columns of numbers; () for all measured properties ("image:...", "text:..."), or,
              where there is none, all columns of numbers
    side      "low" or "high": only values below or above the median count
    combine   over the columns: the most extreme property, or the mean
    returns   (n,) float64 >= 0; in a symmetric column 0.5 is a quartile, 2 is Tukey's inner fence,
              3.5 his outer one

    Raises MissingInputError for a column that is not in the metadata or holds no numbers.
    O(n) a column.

    Source: distance in robust units: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993,
    chapter 3; the sides apart: Hubert and Vandervieren, CSDA 52 (2008) (the aim).
    """
    distances, _ = _distances(metadata, columns, side)
    scores: Scores = distances.max(axis=0) if combine == "maximum" else distances.mean(axis=0)
    return scores


def rare_properties(
    metadata: Mapping[str, Column],
    eligible: Indices,
    size: int,
    *,
    columns: tuple[str, ...] = (),
    side: Side = "both",
    combine: Literal["maximum", "mean"] = "maximum",
) -> Picks:
    """The items with the highest score (see rare_properties_score), equal ones by lowest index.

    returns  Picks; the details say which "property" is the most extreme one and its "value"

    Source: as for the score.
    """
    distances, values = _distances(metadata, columns, side)
    scores = distances.max(axis=0) if combine == "maximum" else distances.mean(axis=0)
    picks = eligible[np.argsort(-scores[eligible], kind="stable")[:size]]
    names = list(values)
    most = distances[:, picks].argmax(axis=0)
    return Picks(
        picks,
        {
            "property": np.array(names, dtype=np.str_)[most],
            "value": np.stack([values[name][picks] for name in names])[most, np.arange(len(picks))],
        },
    )


def _distances(
    metadata: Mapping[str, Column], columns: tuple[str, ...], side: Side
) -> tuple[npt.NDArray[np.float64], dict[str, npt.NDArray[np.float64]]]:
    """(columns, n) distances, and the columns by name."""
    values = numeric_columns(NAME, metadata, columns)
    return np.stack([_distance(column, side) for column in values.values()]), values


def _distance(values: npt.NDArray[np.float64], side: Side) -> npt.NDArray[np.float64]:
    distances = np.zeros(len(values), dtype=np.float64)
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return distances
    measured = values[known]
    # Scaled so that no difference or sum of finite values overflows.
    largest = float(np.abs(measured).max())
    if largest == 0.0:
        return distances
    measured = measured / largest
    low, median, high = np.quantile(measured, (0.25, 0.5, 0.75))
    offsets = measured - median
    below, above = median - low, high - median
    if max(below, above) <= 0.0:
        below = above = QUARTILE_PER_MEAN_DEVIATION * float(np.abs(offsets).mean())
    below, above = below or above, above or below
    if above <= 0.0:
        return distances
    halves = np.where(offsets < 0.0, below, above)
    with np.errstate(over="ignore"):
        found = np.minimum(np.abs(offsets) / (2.0 * halves), np.finfo(np.float64).max)
    if side != "both":
        found[(offsets > 0.0) if side == "low" else (offsets < 0.0)] = 0.0
    distances[known] = found
    return distances
