"""The class that the model predicts for each item."""

import numpy as np

from strategies.arrays import Floats, Indices, row_blocks


def predicted_classes(probabilities: Floats, rows: Indices | None = None) -> Indices:
    """argmax_y p(y|x) of all rows or of those named, the lowest class of equal ones: (e,) int64."""
    count = len(probabilities) if rows is None else len(rows)
    classes = np.empty(count, dtype=np.int64)
    for block in row_blocks(count, probabilities.shape[1]):
        chosen = probabilities[block if rows is None else rows[block]]
        classes[block] = chosen.argmax(axis=1)
    return classes
