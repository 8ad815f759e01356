"""Labelled data that is quick to draw: one Gaussian cloud a class."""

import numpy as np

from backend.backtest.labelled_data import LabelledData


def mixture(n=240, d=12, classes=3, seed=0, spread=1.0, group_of=None, **fields):
    """n items of `classes` clouds; `group_of` items in a row share a group."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    centres = rng.normal(size=(classes, d)) * spread
    embeddings = (centres[labels] + rng.normal(size=(n, d))).astype(np.float32)
    groups = None
    if group_of is not None:
        groups = np.array([f"patient {row // group_of}" for row in range(n)])
    return LabelledData(
        embeddings,
        labels.astype(np.int64),
        tuple(f"class {number}" for number in range(classes)),
        np.array([f"item {row}" for row in range(n)]),
        groups,
        **fields,
    )
