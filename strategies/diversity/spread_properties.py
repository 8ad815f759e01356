"""A batch spread evenly over the quantiles of properties, from the lowest to the highest."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from strategies.arrays import Column, Indices
from strategies.metadata_columns import numbers, numeric_columns
from strategies.picks import LEVEL, Picks

# Sums of this relative difference are equal; a missing value is put before or after by more.
ROUNDING = 1e-12
NUDGE = 1e-6

Vector = npt.NDArray[np.float64]


def spread_properties(
    metadata: Mapping[str, Column],
    eligible: Indices,
    size: int,
    labelled_metadata: Mapping[str, Column] | None = None,
    *,
    columns: tuple[str, ...] = (),
) -> Picks:
    """Greedy: the pick that brings the quantiles of labelled and picked items nearest to uniform.

    u_ij in (0, 1) is the quantile of item i in column j of the pool (mean rank of equal values).
    S_j(u) is the share of the labelled and picked items at or below u. One after another the item
    is picked that gives the least

        sum_j integral (S_j(u) - u)^2 du,

    the Cramer-von Mises distance to an even spread: with t items so far, the one with the lowest
    sum_j (t + 1) (u^2 - u + 1/2) - sum_s |u - u_sj| over the t items s. For one column this takes
    the middle, then the outer quarters, and so on. Equal sums go to the lowest values, then to the
    lowest index.

    metadata           {column: (n,)}; missing values get their share of the pool: one ranks before
                       all others of its column where fewer are taken than that, else after them
    labelled_metadata  {column: (m,)}; what is labelled counts where its column is there
    columns            the columns of numbers; () for all measured properties ("image:...",
                       "text:..."), or, where there is none, all columns of numbers
    returns            Picks; LEVEL names the quantile in each column, "image:sharpness at 93%"

    Raises MissingInputError for a column that is not in the metadata or holds no numbers.
    O(size n) a column.

    Source: support points by their energy distance: Mak and Joseph, Annals of Statistics 46 (2018),
    here greedily and for each margin; even margins of a sample of given items: conditioned Latin
    hypercubes, Minasny and McBratney, Computers and Geosciences 32 (2006).
    """
    values = numeric_columns("spread_properties", metadata, columns)
    # By value: the first of equal sums then does not depend on the order of the pool.
    eligible = eligible[np.lexsort([column[eligible] for column in values.values()][::-1])]
    margins = [
        _Margin(column, held, eligible)
        for name, column in values.items()
        for held in [_labelled(labelled_metadata, name)]
    ]
    open_places = np.zeros(len(eligible), dtype=np.float64)
    places = np.empty(size, dtype=np.int64)
    for t in range(size):
        cost = open_places.copy()
        for margin in margins:
            margin.add_cost(cost)
        # What differs by rounding alone is equal.
        places[t] = np.argmax(cost <= cost.min() + ROUNDING * (margins[0].taken + 1))
        open_places[places[t]] = np.inf
        for margin in margins:
            margin.add(float(margin.quantiles[places[t]]))
    return Picks(eligible[places], {LEVEL: _described(values, margins, places)})


class _Margin:
    """One column: the quantiles of the candidates, and how near they are to what was taken.

    quantiles  (e,) in (0, 1), NaN where missing
    taken      how many items with a value are labelled or picked
    nearness   (e,) -sum_s |u_i - u_s| over them
    """

    def __init__(self, values: Vector, labelled: Vector, eligible: Indices) -> None:
        known = np.sort(values[~np.isnan(values)])
        self.quantiles = _quantiles(known, values[eligible])
        self.taken = 0
        self.nearness = np.zeros(len(eligible), dtype=np.float64)
        own = self.quantiles
        self.missing = np.flatnonzero(np.isnan(own))
        self.missing_share = 1.0 - len(known) / max(1, len(values))
        self.missing_taken = int(np.isnan(labelled).sum())
        # (u^2 - u + 1/2) = E |u - V| for V uniform in (0, 1).
        self.mean_distance = np.where(np.isnan(own), 0.5, own * own - own + 0.5)
        held = _quantiles(known, labelled)
        self._add_labelled(np.sort(held[~np.isnan(held)]))

    def add_cost(self, cost: Vector) -> None:
        """What each candidate would add to the distance, less a constant, added to `cost`."""
        own = (self.taken + 1.0) * self.mean_distance
        own += self.nearness
        if len(self.missing):
            after = self.taken + self.missing_taken + 1.0
            due = self.missing_taken + 0.5 <= self.missing_share * after
            others = np.delete(own, self.missing)
            step = NUDGE * after
            if len(others):
                own[self.missing] = others.min() - step if due else others.max() + step
        cost += own

    def add(self, quantile: float) -> None:
        """Count an item at this quantile, NaN for a missing value."""
        if np.isnan(quantile):
            self.missing_taken += 1
            return
        self.taken += 1
        self.nearness -= np.abs(self.quantiles - quantile)

    def _add_labelled(self, held: Vector) -> None:
        """Count them all at once: their distances to each candidate by sums up to it."""
        if not len(held):
            return
        self.taken = len(held)
        sums = np.concatenate([[0.0], np.cumsum(held)])
        own = np.where(np.isnan(self.quantiles), 0.0, self.quantiles)
        below = np.searchsorted(held, own, side="right")
        self.nearness = -(
            own * below - sums[below] + (sums[-1] - sums[below]) - own * (len(held) - below)
        )


def _quantiles(known: Vector, values: Vector) -> Vector:
    """The share of `known` (ascending) below each value, equal ones by half; NaN for NaN."""
    found = np.full(len(values), np.nan)
    given = ~np.isnan(values)
    if len(known):
        low = np.searchsorted(known, values[given], side="left")
        high = np.searchsorted(known, values[given], side="right")
        found[given] = (low + high) / (2.0 * len(known))
    return found


def _labelled(metadata: Mapping[str, Column] | None, column: str) -> Vector:
    if metadata is None or column not in metadata:
        return np.empty(0, dtype=np.float64)
    values = numbers(metadata[column])
    return np.empty(0, dtype=np.float64) if values is None else values


def _described(
    columns: Mapping[str, Vector], margins: list[_Margin], places: Indices
) -> npt.NDArray[np.str_]:
    texts = []
    for place in places:
        parts = [
            f"{name} " + ("is missing" if np.isnan(own) else f"at {100.0 * own:.0f}%")
            for name, margin in zip(columns, margins, strict=True)
            for own in [margin.quantiles[place]]
        ]
        texts.append(", ".join(parts))
    return np.array(texts, dtype=np.str_)
