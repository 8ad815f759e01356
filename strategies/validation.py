"""The checks of a pool's arrays, in blocks of rows: each raises with the array and the row."""

import numpy as np

from strategies.arrays import Column, Floats, row_blocks
from strategies.errors import InvalidPoolError

# float32 softmax over thousands of classes misses 1 by about 1e-6; mistakes miss it by far more.
SUM_TOLERANCE = 1e-4


def check_floats(field: str, array: Floats, shape: str) -> None:
    """Refuse what is not a NumPy array of float32 or float64 with the dimensions of `shape`.

    Every dimension after the rows, and the number of members, must be at least 1.
    """
    if not isinstance(array, np.ndarray):
        raise InvalidPoolError(
            field, f"is a {type(array).__name__}, not a NumPy array; pass a NumPy array"
        )
    if array.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise InvalidPoolError(
            field, f"has dtype {array.dtype}; convert it to float32 or float64 (native byte order)"
        )
    letters = [letter for letter in shape.strip("()").split(",") if letter.strip()]
    if array.ndim != len(letters):
        raise InvalidPoolError(field, f"has shape {array.shape}, but must have shape {shape}")
    for letter, length in zip(letters, array.shape, strict=True):
        if letter.strip() not in {"n", "m"} and length == 0:
            raise InvalidPoolError(field, f"has {letter.strip()} = 0; it must be at least 1")


def check_identifiers(field: str, array: Column, kinds: str, meaning: str) -> None:
    """Refuse what is not a one-dimensional NumPy array whose dtype kind is among `kinds`."""
    if not isinstance(array, np.ndarray):
        raise InvalidPoolError(
            field, f"is a {type(array).__name__}, not a NumPy array; pass a NumPy array"
        )
    if array.dtype.kind not in kinds:
        raise InvalidPoolError(field, f"has dtype {array.dtype}; it must hold {meaning}")
    if array.ndim != 1:
        raise InvalidPoolError(
            field, f"has shape {array.shape}, but must be one-dimensional: {meaning}"
        )


def check_finite(field: str, array: Floats, prefix: str = "") -> None:
    """Refuse NaN and infinity."""
    width = array.shape[1] if array.ndim > 1 else 1
    for rows in row_blocks(len(array), width):
        finite = np.isfinite(array[rows])
        if not finite.all():
            wrong = ~finite if array.ndim == 1 else ~finite.all(axis=1)
            row = rows.start + int(np.argmax(wrong))
            raise InvalidPoolError(
                field, f"{prefix}holds a value that is not finite; replace or exclude it", row
            )


def check_not_negative(field: str, array: Column) -> None:
    """Refuse a one-dimensional array with a value under 0."""
    wrong = np.flatnonzero(array < 0)
    if wrong.size:
        row = int(wrong[0])
        raise InvalidPoolError(field, f"is {array[row]}, but must not be negative", row)


def check_probabilities(field: str, array: Floats, prefix: str = "") -> None:
    """Refuse rows that are not finite, hold a negative value, or do not sum to 1."""
    check_finite(field, array, prefix)
    for rows in row_blocks(len(array), array.shape[1]):
        block = array[rows]
        negative = (block < 0).any(axis=1)
        if negative.any():
            first = int(np.argmax(negative))
            raise InvalidPoolError(
                field,
                f"{prefix}holds {block[first].min():.6g}; probabilities must not be negative",
                rows.start + first,
            )
        sums = block.sum(axis=1, dtype=np.float64)
        wrong = np.abs(sums - 1.0) > SUM_TOLERANCE
        if wrong.any():
            first = int(np.argmax(wrong))
            raise InvalidPoolError(
                field,
                f"{prefix}sums to {sums[first]:.6g}, not 1; pass probabilities "
                "(after softmax), not logits",
                rows.start + first,
            )
