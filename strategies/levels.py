"""The levels of metadata columns: values, bins of numbers, and crossings; missing is one too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from strategies.arrays import Column, Indices
from strategies.metadata_columns import as_text, is_missing, numbers

MISSING = "(missing)"
# Numbers with no more distinct values than this are codes (1.5 T, 3 T; grade 1 to 5), not a scale.
MOST_CODES = 20
UNSEEN = -1  # the level of a labelled item that no item of the pool has

Binning = Literal["quantiles", "width"]


@dataclass(frozen=True, eq=False)
class Levels:
    """One level an item.

    names     the levels as an explanation shows them: "site = north", "age = bin 2 of 5 (30 to 41)"
    parts     for each level its (column, level) pairs, one a crossed column: (("site", "north"),)
    pool      (n,) int64, the level of each item
    labelled  (m,) int64 likewise, UNSEEN where the pool does not have it; (0,) where not known
    """

    names: tuple[str, ...]
    parts: tuple[tuple[tuple[str, str], ...], ...]
    pool: Indices
    labelled: Indices

    def __len__(self) -> int:
        return len(self.names)

    def labelled_counts(self) -> npt.NDArray[np.float64]:
        """How many labelled items each level has: (levels,) float64."""
        seen = self.labelled[self.labelled != UNSEEN]
        return np.bincount(seen, minlength=len(self)).astype(np.float64)


def column_levels(
    column: str,
    values: Column,
    labelled: Column | None = None,
    bins: int = 5,
    binning: Binning = "quantiles",
) -> Levels:
    """The levels of one column, named by their values.

    None, NaN, NaT and empty text are one level, "(missing)". Numbers (and moments in time) with
    more than max(bins, 20) distinct values are cut into at most `bins` bins, named "bin 1 of 5":
    at the quantiles of the pool, so that each holds about as many items, or into equal widths.
    """
    cuts = _cuts(values, bins, binning)
    if cuts is None:
        written, codes = _coded(values)
        keys = names = written
        known = {name: code for code, name in enumerate(written)}
        held: Indices = np.full(0 if labelled is None else len(labelled), UNSEEN, dtype=np.int64)
        if labelled is not None:
            other, other_codes = _coded(labelled)
            translated = np.array([known.get(name, UNSEEN) for name in other], dtype=np.int64)
            if len(other):
                held = translated[other_codes]
    else:
        count = len(cuts) - 1
        keys = [f"bin {i + 1} of {count}" for i in range(count)] + [MISSING]
        shown = _shown(values)
        names = [f"{keys[i]} ({shown(cuts[i])} to {shown(cuts[i + 1])})" for i in range(count)]
        names.append(MISSING)
        codes = _binned(values, cuts)
        held = np.empty(0, dtype=np.int64) if labelled is None else _binned(labelled, cuts)
    return Levels(
        tuple(f"{column} = {name}" for name in names),
        tuple(((column, key),) for key in keys),
        codes,
        held,
    )


def combinations(several: Sequence[Levels]) -> Levels:
    """Every combination of levels that an item of the pool has."""
    whole = several[0]
    for other in several[1:]:
        width = len(other)
        pairs, pool = np.unique(whole.pool * width + other.pool, return_inverse=True)
        first, second = np.divmod(pairs, width)
        labelled: Indices = np.empty(0, dtype=np.int64)
        if len(whole.labelled) == len(other.labelled) and len(pairs):
            sought = whole.labelled * width + other.labelled
            place = np.minimum(np.searchsorted(pairs, sought), len(pairs) - 1)
            seen = (whole.labelled != UNSEEN) & (other.labelled != UNSEEN)
            labelled = np.where(seen & (pairs[place] == sought), place, UNSEEN).astype(np.int64)
        whole = Levels(
            tuple(
                f"{whole.names[i]}, {other.names[j]}" for i, j in zip(first, second, strict=True)
            ),
            tuple(whole.parts[i] + other.parts[j] for i, j in zip(first, second, strict=True)),
            pool.reshape(-1).astype(np.int64),
            labelled,
        )
    return whole


def _coded(values: Column) -> tuple[list[str], Indices]:
    """The distinct values as texts in order, missing last, and the number of each item's."""
    missing = is_missing(values)
    codes = np.empty(len(values), dtype=np.int64)
    if values.dtype.kind == "O":
        texts = np.array([as_text(value) for value in values[~missing]], dtype=np.str_)
        distinct, found = np.unique(texts, return_inverse=True)
    else:
        distinct, found = np.unique(values[~missing], return_inverse=True)
    codes[~missing] = found.reshape(-1)
    names = [as_text(value) for value in distinct]
    codes[missing] = len(names)
    return names + ([MISSING] if missing.any() else []), codes


def _cuts(values: Column, bins: int, binning: Binning) -> npt.NDArray[np.float64] | None:
    """The edges of the bins, ascending; None for a column that keeps its values as levels."""
    measured = numbers(values)
    if measured is None:
        return None
    measured = measured[~np.isnan(measured)]
    if len(np.unique(measured)) <= max(bins, MOST_CODES):
        return None
    if binning == "width":
        return np.linspace(measured.min(), measured.max(), bins + 1)
    # A value that many items share may be several quantiles at once; those bins become one.
    edges: npt.NDArray[np.float64] = np.quantile(measured, np.linspace(0.0, 1.0, bins + 1))
    return np.unique(edges)


def _binned(values: Column, cuts: npt.NDArray[np.float64]) -> Indices:
    measured = numbers(values)
    count = len(cuts) - 1
    if measured is None:
        return np.full(len(values), UNSEEN, dtype=np.int64)
    found = np.searchsorted(cuts[1:-1], measured, side="right").astype(np.int64)
    found[np.isnan(measured)] = count
    return found


def _shown(values: Column) -> Callable[[Any], str]:
    if values.dtype.kind in "Mm":
        return lambda number: str(np.int64(number).view(values.dtype))
    return lambda number: f"{number:.4g}"
