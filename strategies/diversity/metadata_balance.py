"""Balance named metadata columns, or over-represent some of their levels on purpose."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt

from strategies.arrays import Column, Indices
from strategies.diversity.quotas import seated
from strategies.errors import MissingInputError, StrategyError
from strategies.levels import Binning, Levels, column_levels, combinations
from strategies.metadata_columns import check_columns, descriptive_columns
from strategies.parameters import Interval
from strategies.picks import LEVEL, QUOTA, Picks

NAME = "metadata_balance"
Factors = Mapping[str, Mapping[str, float]]


def metadata_balance(
    metadata: Mapping[str, Column],
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    labelled_metadata: Mapping[str, Column] | None = None,
    *,
    columns: tuple[str, ...] = (),
    crossed: bool = False,
    over_represent: Annotated[Factors | None, Interval(above=0.0)] = None,
    bins: Annotated[int, Interval(least=2)] = 5,
    binning: Binning = "quantiles",
) -> Picks:
    """Bring the levels of each column as near to their shares as the pool allows, rare ones first.

    With h_jl labelled items of level l of column j, k_jl picked ones and shares f_jl, one item
    after another is picked that adds least to

        sum_j sum_l (h_jl + k_jl)^2 / f_jl,

    the chi-squared distance of the labelled items and the batch together from the shares, that is,
    the item with the lowest sum_j (h_jl + k_jl + 1/2) / f_jl over its levels l. For one column, or
    crossed ones, this gives every level its exact quota by Webster's divisor rule. Within a level
    the item is drawn at random.

    metadata           {column: (n,)}; None, NaN, NaT and empty text are a level of their own
    labelled_metadata  {column: (m,)}; what is labelled counts where its column is there
    columns            the columns to balance; () for all but measured properties ("image:...")
    crossed            False: each column by itself, together in one batch; True: every combination
                       of levels that an item has is one level
    over_represent     factors on equal shares: {"scanner": {"rare_model": 3.0}} asks for three
                       times as many of that level as of any other of its column; crossed,
                       factors multiply
    bins, binning      numbers with more than max(bins, 20) distinct values are cut into bins, at
                       the pool's quantiles (as many items each) or into equal widths (few in the
                       tails); they are named "bin 1 of 5"
    returns            Picks; LEVEL names the level whose need was greatest, QUOTA the batch's items
                       of it. A note names a column that the labelled items lack, a warning an
                       over-represented level that no item has

    Raises MissingInputError for a column that is not in the metadata, StrategyError where
    over_represent names one that is not balanced. O(e log e) time for one column or crossed ones;
    else O(size q) for q combinations of levels, q <= e.

    Source: Webster's rule: Balinski and Young, Fair Representation, 1982; balancing several columns
    by their margins: Pocock and Simon, Biometrics 31 (1975).
    """
    check_columns(NAME, metadata, columns)
    chosen = columns or descriptive_columns(metadata) or tuple(sorted(metadata))
    if not chosen:
        mend = 'give Pool(metadata={"site": ...})'
        raise MissingInputError(NAME, "a column in metadata", mend)
    held = labelled_metadata or {}
    axes = [column_levels(c, metadata[c], held.get(c), bins, binning) for c in chosen]
    warnings = _check_factors(over_represent or {}, chosen, axes)
    if crossed:
        axes = [combinations(axes)]
    shares = [_shares(axis, over_represent or {}) for axis in axes]
    order = rng.permutation(eligible)
    if len(axes) == 1:
        axis, priority = axes[0], rng.permutation(len(axes[0]))
        levels = axis.pool[order]
        places = seated(levels, size, axis.labelled_counts(), shares[0], priority)
        picks: Indices = order[places]
        named = [(axis, levels[places])]
        decisive: Indices = np.zeros(size, dtype=np.int64)
    else:
        picks, decisive = _balanced(order, size, axes, shares)
        named = [(axis, axis.pool[picks]) for axis in axes]
    lacking = [] if labelled_metadata is None else [c for c in chosen if c not in labelled_metadata]
    notes = [
        f"the labelled items have no {c!r}, so only the batch is balanced by it" for c in lacking
    ]
    return Picks(picks, _details(named, decisive), notes=tuple(notes), warnings=tuple(warnings))


def _balanced(
    order: Indices, size: int, axes: Sequence[Levels], shares: Sequence[npt.NDArray[np.float64]]
) -> tuple[Indices, Indices]:
    """The picks, and for each the column whose level was the furthest behind."""
    # Items of the same combination of levels are equal, so the search is among combinations.
    together = combinations(
        [Levels(axis.names, axis.parts, axis.pool[order], axis.labelled) for axis in axes]
    )
    waiting = np.argsort(together.pool, kind="stable")
    counts = np.bincount(together.pool, minlength=len(together))
    ends = np.cumsum(counts)
    following = ends - counts
    first = order[waiting[following]]
    levels = np.stack([axis.pool[first] for axis in axes])
    needs = []
    for axis, share in zip(axes, shares, strict=True):
        present = np.bincount(axis.pool[order], minlength=len(axis)) > 0
        parts = share / share[present].sum()
        needs.append((parts, (axis.labelled_counts() + 0.5) / parts))
    picks = np.empty(size, dtype=np.int64)
    decisive = np.empty(size, dtype=np.int64)
    closed = np.zeros(len(counts), dtype=np.float64)
    for t in range(size):
        cost = closed.copy()
        for own, (_, need) in zip(levels, needs, strict=True):
            cost += need[own]
        cell = int(np.argmin(cost))
        own_needs = [need[levels[j, cell]] for j, (_, need) in enumerate(needs)]
        decisive[t] = int(np.argmin(own_needs))
        picks[t] = order[waiting[following[cell]]]
        following[cell] += 1
        if following[cell] == ends[cell]:
            closed[cell] = np.inf
        for j, (parts, need) in enumerate(needs):
            need[levels[j, cell]] += 1.0 / parts[levels[j, cell]]
    return picks, decisive


def _shares(axis: Levels, factors: Factors) -> npt.NDArray[np.float64]:
    shares = np.ones(len(axis), dtype=np.float64)
    for level, parts in enumerate(axis.parts):
        for column, key in parts:
            shares[level] *= factors.get(column, {}).get(key, 1.0)
    return shares


def _check_factors(factors: Factors, columns: Sequence[str], axes: Sequence[Levels]) -> list[str]:
    warnings = []
    for column, levels in factors.items():
        if column not in columns:
            raise StrategyError(
                f"{NAME}: over_represent names the column {column!r}, which is not balanced; "
                f"the balanced columns are {', '.join(columns)}"
            )
        known = [parts[0][1] for parts in axes[list(columns).index(column)].parts]
        warnings += [
            f"over_represent asks for {column} = {level}, which no item has; "
            f"its levels are {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}"
            for level in levels
            if level not in known
        ]
    return warnings


def _details(
    named: Sequence[tuple[Levels, Indices]], decisive: Indices
) -> dict[str, npt.NDArray[np.generic]]:
    places = np.arange(len(decisive))
    levels = np.stack([own for _, own in named])[decisive, places]
    quotas = [np.bincount(own, minlength=len(axis)) for axis, own in named]
    pairs = list(zip(decisive.tolist(), levels.tolist(), strict=True))
    return {
        LEVEL: np.array([named[axis][0].names[level] for axis, level in pairs], dtype=np.str_),
        QUOTA: np.array([quotas[axis][level] for axis, level in pairs], dtype=np.int64),
    }
