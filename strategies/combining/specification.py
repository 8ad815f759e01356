"""What every strategy is once it is configured, combined or not, and the batch that it gives."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strategies.arrays import Indices, Scores
from strategies.errors import NoScoreError
from strategies.pins import pinned_first
from strategies.pool import Pool
from strategies.strategy import Configured, check_rng, check_size

PIN = "pin"  # the branch of what was pinned by hand


@dataclass(frozen=True, eq=False)
class Selection:
    """A batch, best first, and how each pick came about.

    indices   (size,) int64, distinct indices of the pool
    branches  for each pick the name of the strategy that chose it: "margin", for a chain its
              members in order "k_center > margin", for a weighted sum "weight(margin + entropy)"
    scores    (size,) float64, the score that chose it; NaN where the strategy only selects
    details   for each pick what decided it, by the names in strategies/picks.py
    notes     sentences about the batch: which strategy was used and why
    warnings  sentences about input that makes the method weak, with what to do about it
    """

    indices: Indices
    branches: tuple[str, ...]
    scores: Scores
    details: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)

    @classmethod
    def joined(cls, parts: Sequence["Selection"], order: Sequence[tuple[int, int]]) -> "Selection":
        """One batch of several: `order` names the part and the position in it of each pick."""
        return cls(
            np.array([parts[part].indices[place] for part, place in order], dtype=np.int64),
            tuple(parts[part].branches[place] for part, place in order),
            np.array([parts[part].scores[place] for part, place in order], dtype=np.float64),
            tuple(parts[part].details[place] for part, place in order),
            _distinct(note for part in parts for note in part.notes),
            _distinct(warning for part in parts for warning in part.warnings),
        )


def _distinct(sentences: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentences))


class Specification(ABC):
    """A strategy as it was configured: it selects, says what it needs, and turns into JSON."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of this part in a Selection's branches."""

    @property
    def has_score(self) -> bool:
        """Whether `score` gives one number an item; most combinations only select."""
        return False

    @abstractmethod
    def leaves(self) -> Iterator[Configured]:
        """The single strategies in it with their parameters, in order."""

    @abstractmethod
    def to_json(self) -> Any:
        """The specification as JSON values, from which `parse` makes an equal object."""

    @abstractmethod
    def without(self, absent: frozenset[str]) -> "Specification":
        """The same, with `random` for each strategy that needs an absent field of the pool.

        For the time before there is a model, a label, or whatever else it asks for.
        """

    @abstractmethod
    def pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        """The batch of a pool that was checked, whose pins are placed; size <= the eligible."""

    def score(self, pool: Pool, rng: np.random.Generator | None = None) -> Scores:
        """One score an item, (n,) float64; raises NoScoreError where it only selects."""
        del pool, rng
        raise NoScoreError(self.name)

    @property
    def needs(self) -> frozenset[str]:
        """The fields of the pool that must be there."""
        return frozenset().union(*(leaf.strategy.needs for leaf in self.leaves()))

    @property
    def uses(self) -> frozenset[str]:
        """The fields of the pool that it reads, those that may be absent included."""
        return frozenset().union(*(leaf.strategy.uses for leaf in self.leaves()))

    @property
    def needs_model(self) -> bool:
        """Whether it needs something that only a trained model can supply."""
        return any(leaf.strategy.needs_model for leaf in self.leaves())

    @property
    def columns(self) -> frozenset[str]:
        """The columns of the pool's metadata that its strategies name."""
        return frozenset().union(*(leaf.parameters.get("columns") or () for leaf in self.leaves()))

    def select(self, pool: Pool, size: int, rng: np.random.Generator | None = None) -> Indices:
        """`size` distinct indices, best first, int64; fewer only where fewer are eligible."""
        return self.select_with_branches(pool, size, rng).indices

    def select_with_branches(
        self, pool: Pool, size: int, rng: np.random.Generator | None = None
    ) -> Selection:
        """The same picks, each with the strategy that chose it and its score."""
        check_size(size)
        check_rng(rng)
        for leaf in self.leaves():
            leaf.strategy.check(pool)
        size = min(int(size), len(pool.eligible))
        pool, pins = pinned_first(pool, size)
        found = self.pick(pool, size - len(pins), rng)
        if not len(pins):
            return found
        by_hand = Selection(pins, (PIN,) * len(pins), np.full(len(pins), np.nan), ({},) * len(pins))
        order = [(0, place) for place in range(len(pins))]
        return Selection.joined([by_hand, found], order + [(1, i) for i in range(len(found))])
