"""Pools that hold every field, so that any registered strategy can run on them."""

from typing import Any

import numpy as np

from strategies import Pool


def full_fields(
    n: int, *, classes: int = 4, dimensions: int = 6, labelled: int = 5, seed: int = 0
) -> dict[str, Any]:
    """Random, valid values for every field of a pool of n items."""
    rng = np.random.default_rng(seed)
    concentration = np.ones(classes)
    return {
        "embeddings": rng.normal(size=(n, dimensions)),
        "probabilities": rng.dirichlet(concentration, size=n),
        "previous_probabilities": rng.dirichlet(concentration, size=n),
        "members": rng.dirichlet(concentration, size=(3, n)),
        "labelled_embeddings": rng.normal(size=(labelled, dimensions)),
        "labels": rng.integers(classes, size=labelled),
        "metadata": {
            "site": rng.choice(["north", "south"], size=n),
            "image:sharpness": np.random.default_rng(seed + 1).gamma(2.0, size=n),
        },
        "labelled_metadata": {
            "site": rng.choice(["north", "south"], size=labelled),
            "image:sharpness": np.random.default_rng(seed + 2).gamma(2.0, size=labelled),
        },
        "groups": rng.integers(max(1, n // 3), size=n),
        "predicted_loss": rng.random(n),
    }


def full_pool(n: int, excluded: Any = None, **options: Any) -> Pool:
    return Pool(**full_fields(n, **options), excluded=excluded)


def reordered(fields: dict[str, Any], order: np.ndarray) -> dict[str, Any]:
    """The same items in another order; what belongs to the labelled items stays."""

    def moved(field: str, value: Any) -> Any:
        if field in {"labelled_embeddings", "labels", "labelled_metadata"}:
            return value
        if field == "metadata":
            return {column: values[order] for column, values in value.items()}
        return value[:, order] if field == "members" else value[order]

    return {field: moved(field, value) for field, value in fields.items()}
