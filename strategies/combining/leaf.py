"""A single strategy with its parameters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from strategies.arrays import Scores
from strategies.combining.specification import Selection, Specification
from strategies.pool import Pool
from strategies.registry import strategy
from strategies.strategy import Configured, Strategy


@dataclass(frozen=True)
class Leaf(Specification):
    """One strategy of the registry with the parameters that were given."""

    strategy: Strategy
    # As they were written (for JSON), and as the function wants them.
    given: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        return self.strategy.name

    @property
    def has_score(self) -> bool:
        return self.strategy.has_score

    def leaves(self) -> Iterator[Configured]:
        yield Configured(self.strategy, self.parameters)

    def to_json(self) -> Any:
        return {self.name: dict(self.given)} if self.given else self.name

    def without(self, absent: frozenset[str]) -> Specification:
        return random_leaf() if self.needs & absent else self

    def score(self, pool: Pool, rng: np.random.Generator | None = None) -> Scores:
        return self.strategy.score(pool, rng, self.parameters)

    def pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        picks, scores = self.strategy.pick(pool, size, rng, self.parameters)
        count = len(picks.indices)
        branches = (self.name,) * count
        if picks.branches is not None:
            branches = tuple(f"{self.name} > {branch}" for branch in picks.branches)
        details = tuple(picks.detail(position) for position in range(count))
        return Selection(picks.indices, branches, scores, details, picks.notes, picks.warnings)


def random_leaf() -> Leaf:
    """What stands in for a strategy that needs what is not there yet."""
    return Leaf(strategy("random"))
