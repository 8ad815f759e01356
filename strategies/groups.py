"""Groups of items (patient, volume, video) as numbers."""

import numpy as np

from strategies.arrays import Column, Indices


def group_numbers(groups: Column) -> Indices:
    """The groups numbered from 0: (n,) int64. Texts and numbers may be mixed."""
    if groups.dtype.kind == "O":
        # Told apart as they are written: 1 and "1" come from the same field of different exports.
        groups = np.array([str(group) for group in groups], dtype=np.str_)
    numbers: Indices = np.unique(groups, return_inverse=True)[1].reshape(-1)
    return numbers
