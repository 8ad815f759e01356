"""The columns of a pool's metadata: which are meant, what is missing, what is a number."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from strategies.arrays import Column, Mask
from strategies.errors import MissingInputError, suggestion

# Columns that strategies/properties measures carry these before their name: "image:sharpness".
PROPERTY_PREFIXES = ("image:", "text:")


def check_columns(strategy: str, metadata: Mapping[str, Column], columns: Iterable[str]) -> None:
    """Raise MissingInputError for the first column that the metadata lacks; it lists the others."""
    for column in columns:
        if column not in metadata:
            raise MissingInputError(
                strategy, f"metadata[{column!r}]", suggestion(column, metadata, "columns")
            )


def descriptive_columns(metadata: Mapping[str, Column]) -> tuple[str, ...]:
    """All columns but the measured properties, in alphabetical order."""
    return tuple(sorted(c for c in metadata if not c.startswith(PROPERTY_PREFIXES)))


def numeric_columns(
    strategy: str, metadata: Mapping[str, Column], columns: tuple[str, ...]
) -> dict[str, npt.NDArray[np.float64]]:
    """The named columns as numbers; without names all measured properties, else all that count.

    Raises MissingInputError for a column that is absent or holds no numbers.
    """
    check_columns(strategy, metadata, columns)
    if columns:
        found = {}
        for column in columns:
            values = numbers(metadata[column])
            if values is None:
                mend = "that column holds texts; name one that holds numbers"
                raise MissingInputError(strategy, f"numbers in metadata[{column!r}]", mend)
            found[column] = values
        return found
    measured = sorted(c for c in metadata if c.startswith(PROPERTY_PREFIXES))
    for names in (measured, sorted(metadata)):
        given = {c: values for c in names if (values := numbers(metadata[c])) is not None}
        if given:
            return given
    listed = ", ".join(sorted(metadata)) or "none"
    mend = f'measure one, such as "image:sharpness" (the columns that are there: {listed})'
    raise MissingInputError(strategy, "a column of numbers in metadata", mend)


def is_missing(values: Column) -> Mask:
    """True for None, NaN, NaT and empty or blank text: (n,) bool."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "Mm":
        return np.isnat(values)
    if values.dtype.kind in "US":
        stripped: Mask = np.char.str_len(np.char.strip(values)) == 0
        return stripped
    if values.dtype.kind == "O":
        return np.fromiter((_missing(value) for value in values), np.bool_, len(values))
    return np.zeros(len(values), dtype=np.bool_)


def _missing(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, str | bytes):
        return not value.strip()
    return bool(value != value)  # NaN and NaT alone are not equal to themselves.


def numbers(values: Column) -> npt.NDArray[np.float64] | None:
    """The column as float64, NaN where missing or infinite; None where it does not hold numbers.

    Moments and durations count in their own unit since 1970. True and False are no numbers.
    """
    kind = values.dtype.kind
    if kind in "iuf":
        found = values.astype(np.float64)
    elif kind in "Mm":
        found = values.astype(np.int64).astype(np.float64)
        found[np.isnat(values)] = np.nan
    elif kind == "O":
        converted = np.full(len(values), np.nan)
        for row, value in enumerate(values):
            if isinstance(value, bool | np.bool_) or not isinstance(
                value, int | float | np.integer | np.floating
            ):
                if _missing(value):
                    continue
                return None
            try:
                converted[row] = float(value)
            except OverflowError:
                return None
        # A column of nothing but missing values has no numbers to speak of.
        if len(values) and np.isnan(converted).all():
            return None
        found = converted
    else:
        return None
    found[~np.isfinite(found)] = np.nan
    return found


def as_text(value: Any) -> str:
    """A value as the name of a level: 2 for 2.0, so that equal integers and floats agree."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float | np.floating) and math.isfinite(value) and value == int(value):
        return str(int(value))
    if isinstance(value, np.generic):
        return str(value.item()) if value.dtype.kind in "iuf" else str(value)
    return str(value)
