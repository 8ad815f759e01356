"""The weighted mean of the ranks that several scores give."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from strategies.arrays import Scores
from strategies.boosts import best_boosted
from strategies.combining.leaf import random_leaf
from strategies.combining.specification import Selection, Specification
from strategies.pool import Pool
from strategies.ranking import normalised_ranks
from strategies.strategy import Configured


@dataclass(frozen=True)
class Weight(Specification):
    """The highest weighted mean of the members' normalised ranks among the eligible items."""

    weights: tuple[float, ...]  # > 0, of any sum
    members: tuple[Specification, ...]

    @property
    def name(self) -> str:
        return f"weight({' + '.join(member.name for member in self.members)})"

    @property
    def has_score(self) -> bool:
        return True

    def leaves(self) -> Iterator[Configured]:
        for member in self.members:
            yield from member.leaves()

    def to_json(self) -> Any:
        pairs = zip(self.weights, self.members, strict=True)
        return {"weight": [{"weight": weight, "of": member.to_json()} for weight, member in pairs]}

    def without(self, absent: frozenset[str]) -> Specification:
        # A random order has no score to weigh, so what lacks its input drops out of the sum.
        kept = [
            (weight, member)
            for weight, member in zip(self.weights, self.members, strict=True)
            if not member.needs & absent
        ]
        if not kept:
            return random_leaf()
        return Weight(tuple(w for w, _ in kept), tuple(member for _, member in kept))

    def score(self, pool: Pool, rng: np.random.Generator | None = None) -> Scores:
        """sum_j w_j r_j / sum_j w_j, r_j the normalised rank by member j: (n,), in [0, 1]."""
        total = np.zeros(pool.n, dtype=np.float64)
        for weight, member in zip(self.weights, self.members, strict=True):
            total += weight * normalised_ranks(member.score(pool, rng), pool.eligible)
        return total / sum(self.weights)

    def pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        scores = self.score(pool, rng)
        indices = best_boosted(scores, pool, size, rng)
        count = len(indices)
        return Selection(indices, (self.name,) * count, scores[indices], ({},) * count)
