"""Combined strategies: one alone, a chain, a mix by share, a weighted sum of ranks."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from strategies.apportionment import interleaved, largest_remainder
from strategies.arrays import Indices, Scores
from strategies.errors import NoScoreError
from strategies.pool import Pool
from strategies.ranking import best_first, normalised_ranks
from strategies.registry import Strategy, check_rng, check_size
from strategies.registry import strategy as registered

# How many times the size of the next member a chain's member keeps, unless it says otherwise.
DEFAULT_KEEP = 10


@dataclass(frozen=True, eq=False)
class Selection:
    """A batch, best first, and how each pick came about.

    indices   (size,) int64, distinct indices of the pool
    branches  for each pick the name of the strategy that chose it: "margin", for a chain its
              members in order "k_center > margin", for a weighted sum "weight(margin + entropy)"
    scores    (size,) float64, the score that chose it; NaN where the strategy only selects
    """

    indices: Indices
    branches: tuple[str, ...]
    scores: Scores


class Specification(ABC):
    """A strategy as it was configured: it selects, says what it needs, and turns into JSON."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of this part in a Selection's branches."""

    @property
    @abstractmethod
    def has_score(self) -> bool:
        """Whether `score` gives one number an item."""

    @abstractmethod
    def leaves(self) -> Iterator["Leaf"]:
        """The single strategies in it, in order."""

    @abstractmethod
    def to_json(self) -> Any:
        """The specification as JSON values, from which `parse` makes an equal object."""

    @abstractmethod
    def without_model(self) -> "Specification":
        """The same, with `random` for each strategy that needs a model: for before one exists."""

    @abstractmethod
    def _pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection: ...

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
        return self._pick(pool, min(int(size), len(pool.eligible)), rng)


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

    def leaves(self) -> Iterator["Leaf"]:
        yield self

    def to_json(self) -> Any:
        return {self.name: dict(self.given)} if self.given else self.name

    def without_model(self) -> Specification:
        return Leaf(registered("random")) if self.needs_model else self

    def score(self, pool: Pool, rng: np.random.Generator | None = None) -> Scores:
        return self.strategy.score(pool, rng, self.parameters)

    def _pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        indices, scores = self.strategy.pick(pool, size, rng, self.parameters)
        return Selection(indices, (self.name,) * len(indices), scores)


@dataclass(frozen=True)
class Chain(Specification):
    """Members one after the other, each choosing among what the one before it kept.

    The last fills the batch; each other one keeps `keep` times the size that the next must fill.
    """

    members: tuple[Specification, ...]
    keeps: tuple[float | None, ...]  # None: DEFAULT_KEEP, and for the last one nothing

    @property
    def name(self) -> str:
        return " > ".join(member.name for member in self.members)

    @property
    def has_score(self) -> bool:
        return False

    def leaves(self) -> Iterator[Leaf]:
        for member in self.members:
            yield from member.leaves()

    def to_json(self) -> Any:
        return {
            "chain": [
                _kept(member, keep) for member, keep in zip(self.members, self.keeps, strict=True)
            ]
        }

    def without_model(self) -> Specification:
        return Chain(tuple(member.without_model() for member in self.members), self.keeps)

    def sizes(self, size: int) -> list[int]:
        """How many each member must give for a batch of `size`, before the pool limits it."""
        sizes = [size]
        for keep in reversed(self.keeps[:-1]):
            sizes.append(math.ceil(sizes[-1] * (DEFAULT_KEEP if keep is None else keep)))
        return sizes[::-1]

    def _pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        *before, last = zip(self.members, self.sizes(size), strict=True)
        for member, kept in before:
            # A member that could keep everything decides nothing, so it need not be run.
            if kept < len(pool.eligible):
                pool = pool.restricted_to(member._pick(pool, kept, rng).indices)
        found = last[0]._pick(pool, size, rng)
        leading = "".join(f"{member.name} > " for member in self.members[:-1])
        return Selection(
            found.indices, tuple(leading + branch for branch in found.branches), found.scores
        )


@dataclass(frozen=True)
class Mix(Specification):
    """A batch shared among members by quota; no item twice.

    The members pick in turn, each its quota (largest remainder) from what the earlier ones left.
    The picks are then interleaved: every prefix of the batch holds the members in their
    proportion, to within one pick.
    """

    shares: tuple[float, ...]  # > 0, of any sum
    members: tuple[Specification, ...]

    @property
    def name(self) -> str:
        return f"mix({' | '.join(member.name for member in self.members)})"

    @property
    def has_score(self) -> bool:
        return False

    def leaves(self) -> Iterator[Leaf]:
        for member in self.members:
            yield from member.leaves()

    def to_json(self) -> Any:
        pairs = zip(self.shares, self.members, strict=True)
        return {"mix": [{"share": share, "of": member.to_json()} for share, member in pairs]}

    def without_model(self) -> Specification:
        return Mix(self.shares, tuple(member.without_model() for member in self.members))

    def _pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        queues = []
        for quota, member in zip(largest_remainder(self.shares, size), self.members, strict=True):
            found = member._pick(pool, quota, rng)
            pool = pool.without(found.indices)
            queues.append(list(zip(found.indices, found.branches, found.scores, strict=True))[::-1])
        order = interleaved([len(queue) for queue in queues])
        picks = [queues[source].pop() for source in order]
        return Selection(
            np.array([index for index, _, _ in picks], dtype=np.int64),
            tuple(branch for _, branch, _ in picks),
            np.array([value for _, _, value in picks], dtype=np.float64),
        )


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

    def leaves(self) -> Iterator[Leaf]:
        for member in self.members:
            yield from member.leaves()

    def to_json(self) -> Any:
        pairs = zip(self.weights, self.members, strict=True)
        return {"weight": [{"weight": weight, "of": member.to_json()} for weight, member in pairs]}

    def without_model(self) -> Specification:
        # A random order has no score to weigh, so what needs a model drops out of the sum.
        kept = [
            (weight, member)
            for weight, member in zip(self.weights, self.members, strict=True)
            if not member.needs_model
        ]
        if not kept:
            return Leaf(registered("random"))
        return Weight(tuple(w for w, _ in kept), tuple(member for _, member in kept))

    def score(self, pool: Pool, rng: np.random.Generator | None = None) -> Scores:
        """sum_j w_j r_j / sum_j w_j, r_j the normalised rank by member j: (n,), in [0, 1]."""
        total = np.zeros(pool.n, dtype=np.float64)
        for weight, member in zip(self.weights, self.members, strict=True):
            total += weight * normalised_ranks(member.score(pool, rng), pool.eligible)
        return total / sum(self.weights)

    def _pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        scores = self.score(pool, rng)
        indices = best_first(scores, pool.eligible, size, rng)
        return Selection(indices, (self.name,) * len(indices), scores[indices])


def _kept(member: Specification, keep: float | None) -> Any:
    written = member.to_json()
    if keep is None:
        return written
    if isinstance(member, Leaf):
        return {member.name: {**member.given, "keep": keep}}
    return {**written, "keep": keep}
