"""AskNext's strategies, called as the service calls them: a name or any specification."""

import json
from typing import Any

import numpy as np

from benchmarks.labels.protocol import Integers, State
from strategies import Pool, Specification, StrategyError, names, parse
from strategies.registry import REGISTRY

# What a run offers; a strategy that needs more (members, metadata, ...) is left out with a word.
OFFERED = frozenset(
    {
        "embeddings",
        "probabilities",
        "previous_probabilities",
        "labelled_embeddings",
        "labels",
    }
)


class AskNext:
    """One specification of AskNext: a registered name, or JSON such as `{"chain": [...]}`."""

    def __init__(self, text: str) -> None:
        written: Any = json.loads(text) if text.lstrip().startswith("{") else text
        self._specification: Specification = parse(written)
        self.needs_labels = self._specification.needs_model

    def select(self, state: State, size: int, seed: int) -> Integers:
        """`size` distinct rows of the unlabelled."""
        rows = state.unlabelled
        pool = Pool(
            embeddings=state.embeddings[rows],
            probabilities=None if state.probabilities is None else state.probabilities[rows],
            previous_probabilities=(
                None if state.previous_probabilities is None else state.previous_probabilities[rows]
            ),
            labelled_embeddings=state.embeddings[state.labelled] if len(state.labelled) else None,
            labels=state.labels if len(state.labelled) else None,
        )
        chosen = self._specification.select_with_branches(pool, size, np.random.default_rng(seed))
        picked: Integers = rows[chosen.indices]
        return picked


def refusal(text: str) -> str | None:
    """Why this specification cannot run here, or None where it can."""
    if not text.lstrip().startswith("{"):
        if text not in names():
            return "not registered"
        missing = REGISTRY[text].needs - OFFERED
        return f"needs {', '.join(sorted(missing))}" if missing else None
    try:
        missing = parse(json.loads(text)).needs - OFFERED
    except (StrategyError, ValueError) as error:
        return str(error)
    return f"needs {', '.join(sorted(missing))}" if missing else None
