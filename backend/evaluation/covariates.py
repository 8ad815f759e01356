"""What sets of tasks are compared by: metadata and the main directions of the embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategies.arrays import Column, Floats, float64_rows, row_blocks
from strategies.metadata_columns import as_text, is_missing, numbers

DIRECTIONS = 20
RARE = 0.01  # levels of a smaller share count together: alone they would be noise
_MOST_LEVELS = 50
_DIRECTION_ROWS = 20_000
MISSING, OTHERS = "(missing)", "(rarer values)"


@dataclass(frozen=True, eq=False)
class Covariates:
    """values (n, p) float32: each column with mean 0 and standard deviation 1 over the n rows."""

    names: tuple[str, ...]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """A covariate's mean in one set minus that in the other, in the pool's standard deviations."""

    name: str
    value: float


def covariates(
    metadata: Mapping[str, Column], embeddings: Floats | None = None, directions: int = DIRECTIONS
) -> Covariates:
    """The covariates of a pool of n rows.

    metadata    {field: (n,)}: numbers count by their mean (missing ones as the mean, with a
                column of its own that says so), everything else by level; levels under 1% of the
                rows, and those after the 50 most frequent, count together
    embeddings  (n, d) or None: coordinates in the `directions` principal directions, which come
                from at most 20,000 evenly spread rows

    Columns that do not vary are left out. Raises ValueError for lengths that do not fit.
    """
    lengths = {len(column) for column in metadata.values()}
    if embeddings is not None:
        lengths.add(len(embeddings))
    if len(lengths) > 1:
        raise ValueError(f"metadata and embeddings have different lengths: {sorted(lengths)}")
    n = lengths.pop() if lengths else 0
    names: list[str] = []
    columns: list[NDArray[np.float32]] = []
    for field, column in metadata.items():
        for name, values in _field_columns(field, column):
            standard = _standardised(values)
            if standard is not None:
                names.append(name)
                columns.append(standard)
    if embeddings is not None and n:
        projected = _projected(embeddings, directions)
        for index in range(projected.shape[1]):
            standard = _standardised(projected[:, index])
            if standard is not None:
                names.append(f"embedding direction {index + 1}")
                columns.append(standard)
    together = np.column_stack(columns) if columns else np.empty((n, 0))
    return Covariates(tuple(names), together.astype(np.float32, copy=False))


def differences_to_pool(pool: Covariates, rows: NDArray[np.int64]) -> tuple[Difference, ...]:
    """Of the rows (s,) to the whole pool, the largest in size first; none where s is 0."""
    if not len(rows):
        return ()
    return _ranked(pool, pool.values[rows].mean(axis=0, dtype=np.float64))


def differences_to_rest(pool: Covariates, rows: NDArray[np.int64]) -> tuple[Difference, ...]:
    """Of the distinct rows (s,) to all others, the largest first; none where either is empty."""
    n, s = len(pool.values), len(rows)
    if not 0 < s < n:
        return ()
    # The pool's mean is 0: s inside + (n − s) outside = 0.
    return _ranked(pool, pool.values[rows].mean(axis=0, dtype=np.float64) * (n / (n - s)))


def levels(column: Column) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(codes (n,), names): each row's level; missing values are one, rare ones are another."""
    missing = is_missing(column)
    if column.dtype.kind == "O":
        texts = np.array([as_text(value) for value in column], dtype=object)
        texts[missing] = MISSING
        found, codes = np.unique(texts.astype(str), return_inverse=True)
        named = [str(name) for name in found]
    else:
        found, codes = np.unique(column, return_inverse=True)
        named = [as_text(value) for value in found]
        if missing.any():
            codes = np.where(missing, len(named), codes)
            named.append(MISSING)
    counts = np.bincount(codes, minlength=len(named))
    order = np.argsort(-counts, kind="stable")
    kept = [i for i in order[:_MOST_LEVELS] if counts[i] >= RARE * len(column) and counts[i]]
    place = np.full(len(named), len(kept), dtype=np.int64)
    place[kept] = np.arange(len(kept))
    names = tuple(named[i] for i in kept)
    if counts.sum() > counts[kept].sum():
        names += (OTHERS,)
    return place[codes], names


def _field_columns(field: str, column: Column) -> list[tuple[str, NDArray[np.float64]]]:
    values = numbers(column)
    if values is not None:
        absent = np.isnan(values)
        mean = float(values[~absent].mean()) if not absent.all() else 0.0
        filled = np.where(absent, mean, values)
        return [(field, filled), (f"{field} = {MISSING}", absent.astype(np.float64))]
    codes, names = levels(column)
    return [
        (f"{field} = {name}", (codes == index).astype(np.float64))
        for index, name in enumerate(names)
    ]


def _standardised(values: NDArray[np.floating]) -> NDArray[np.float32] | None:
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    deviation = float(np.sqrt(np.mean(centred * centred)))
    if not deviation > 1e-9 * float(np.abs(values).max(initial=0.0)):
        return None
    standard: NDArray[np.float32] = (centred / deviation).astype(np.float32)
    return standard


def _projected(embeddings: Floats, directions: int) -> NDArray[np.float64]:
    """(n, k) coordinates in the principal directions, k = min(directions, d)."""
    n, d = embeddings.shape
    count = min(n, _DIRECTION_ROWS)
    chosen = np.arange(count, dtype=np.int64) * n // count
    sample = np.array(embeddings[chosen], dtype=np.float64)
    sample -= sample.mean(axis=0)
    axes = np.ascontiguousarray(np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, :directions])
    projected = np.empty((n, axes.shape[1]))
    for block in row_blocks(n, d):
        projected[block] = float64_rows(embeddings, block) @ axes
    return projected


def _ranked(pool: Covariates, values: NDArray[np.float64]) -> tuple[Difference, ...]:
    order = np.argsort(-np.abs(values), kind="stable")
    return tuple(Difference(pool.names[i], float(values[i])) for i in order)
