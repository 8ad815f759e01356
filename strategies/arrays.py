"""The array types of this package, and the walk over a large array in blocks of rows."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]  # float32 or float64, as it was given
Scores: TypeAlias = npt.NDArray[np.float64]  # (n,), higher = label sooner
Indices: TypeAlias = npt.NDArray[np.int64]  # rows of the pool
Mask: TypeAlias = npt.NDArray[np.bool_]
Integers: TypeAlias = npt.NDArray[np.integer[Any]]
Column: TypeAlias = npt.NDArray[Any]  # identifiers or metadata of any dtype

# A block of this many numbers is 8 MiB in float64: a temporary that stays small beside any pool.
BLOCK_ELEMENTS = 1 << 20


def row_blocks(rows: int, row_elements: int, elements: int = BLOCK_ELEMENTS) -> Iterator[slice]:
    """Slices that cover all rows in order, about `elements` numbers (and at least a row) each."""
    step = max(1, elements // max(1, row_elements))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def float64_rows(array: Floats, rows: slice) -> npt.NDArray[np.float64]:
    """These rows as a contiguous float64 array of their own, so that the input stays as it is.

    A fixed layout also fixes the order of later sums, so a row's value never depends on its place.
    """
    return np.array(array[rows], dtype=np.float64, order="C")
