"""AskNext's own side: the pool that a strategy sees, and the call."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import strategies
from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job
from strategies import Pool
from strategies.registry import strategy

# So that all contenders answer the same question. What a strategy does not take is left out.
SAME_QUESTION: dict[str, dict[str, Any]] = {
    # The libraries herd the embeddings as they are, with exp(-|x - y|^2).
    "max_herding": {"center": False, "bandwidth": 1.0},
    "uherding": {"center": False, "bandwidth": 1.0},
    "k_center": {"metric": "euclidean"},
    "probcover": {"delta": 0.9, "radius": 0.9},
    "typiclust": {"neighbours": 20},
}
# A strategy that asks for columns gets the one that there is.
COLUMN_PARAMETERS = ("columns", "column")
OPTIONAL = (
    "embeddings",
    "probabilities",
    "previous_probabilities",
    "members",
    "labelled_embeddings",
    "labels",
)


def parameters_of(name: str) -> dict[str, Any]:
    """The parameters with which this strategy is measured."""
    found = strategy(name)
    known = found.parameters
    chosen = {key: value for key, value in SAME_QUESTION.get(name, {}).items() if key in known}
    for key in COLUMN_PARAMETERS:
        if "metadata" in found.needs and key in known and not known[key].default:
            chosen[key] = "site" if known[key].kind is str else ("site",)
    return chosen


def small_pool_only() -> list[str]:
    """The strategies that the registry bars from pools of a million."""
    return [name for name in strategies.names() if strategy(name).small_pool_only]


def prepared(arrays: Arrays, job: Job) -> tuple[Callable[[], np.ndarray], float]:
    """The call to be measured, and the seconds that checking the pool took."""
    found = strategy(job.strategy)
    fields: dict[str, Any] = {
        name: getattr(arrays, name) for name in OPTIONAL if name in found.uses
    }
    if not job.labelled:
        for name in ("labelled_embeddings", "labels"):
            fields.pop(name, None)
    n = arrays.n
    if "metadata" in found.needs:
        fields["metadata"] = {"site": np.arange(n) * 7919 % 23}
        if "labelled_metadata" in found.uses:
            fields["labelled_metadata"] = {"site": np.arange(len(arrays.labels)) % 5}
    if "groups" in found.needs:
        fields["groups"] = np.arange(n) // 10
    if "predicted_loss" in found.needs:
        fields["predicted_loss"] = -np.log(np.max(arrays.probabilities, axis=1))
    if not any(name in found.needs for name in OPTIONAL) and len(fields) == 0:
        fields["size"] = n
    started = time.process_time()
    pool = Pool(**fields)
    seconds = time.process_time() - started

    def call() -> np.ndarray:
        rng = np.random.default_rng(job.seed) if found.random else None
        return strategies.select(job.strategy, pool, job.size, rng, **job.parameters)

    return call, seconds
