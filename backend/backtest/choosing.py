"""A strategy's choice in one round of a run: the pool filled as a live round fills it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import strategies
from backend.backtest.labelled_data import LabelledData
from backend.models.artefact import Model


def pool_of(
    data: LabelledData,
    specification: strategies.Specification,
    rows: NDArray[np.int64],
    labelled: NDArray[np.int64],
    model: Model | None,
    previous: Model | None,
) -> strategies.Pool:
    """The items `rows` (u,) as the strategy sees them; only what it asks for is computed.

    `labelled` (m,) are the rows that train so far, `previous` the model of the round before.
    """
    asked = specification.needs | specification.uses
    embeddings = data.embeddings[rows]
    found: dict[str, Any] = {}
    if model is not None:
        if "probabilities" in asked:
            found["probabilities"] = model.probabilities(embeddings)
        if "members" in asked:
            found["members"] = model.members(embeddings)
        if "predicted_loss" in asked:
            found["predicted_loss"] = model.predicted_loss(embeddings)
        if "previous_probabilities" in asked and previous is not None:
            found["previous_probabilities"] = previous.probabilities(embeddings)
    if asked & {"labelled_embeddings", "labels", "labelled_metadata"} and len(labelled):
        found["labelled_embeddings"] = data.embeddings[labelled]
        found["labels"] = data.labels[labelled]
    if "metadata" in asked and data.metadata:
        readers = [leaf for leaf in specification.leaves() if "metadata" in leaf.strategy.uses]
        all_named = all(leaf.parameters.get("columns") for leaf in readers)
        named = sorted(specification.columns if all_named else data.metadata)
        found["metadata"] = {name: data.metadata[name][rows] for name in named}
        if len(labelled):
            found["labelled_metadata"] = {name: data.metadata[name][labelled] for name in named}
    if "groups" in asked and data.groups is not None:
        found["groups"] = data.groups[rows]
    return strategies.Pool(
        embeddings=embeddings if "embeddings" in asked else None, size=len(rows), **found
    )


def chosen(
    pool: strategies.Pool,
    specification: strategies.Specification,
    size: int,
    seed: Sequence[int],
) -> tuple[NDArray[np.int64], int]:
    """`size` distinct indices of the pool, and how many of them chance filled in.

    As in a live round, what lacks its input is random, and where the groups hold no more than the
    limit allows the rest of the batch is random.
    """
    rng = np.random.default_rng(seed)
    absent = frozenset(field for field in specification.needs if getattr(pool, field) is None)
    able = specification.without(absent) if absent else specification
    picked = able.select_with_branches(pool, size, rng).indices
    lacking = min(size, pool.n) - len(picked)
    if lacking:
        rest = np.setdiff1d(np.arange(pool.n), picked)
        picked = np.concatenate([picked, rng.permutation(rest)[:lacking]])
    return picked, lacking
