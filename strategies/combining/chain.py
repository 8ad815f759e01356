"""Members one after the other, each choosing among what the one before it kept."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from strategies.combining.leaf import Leaf
from strategies.combining.specification import Selection, Specification
from strategies.pool import Pool
from strategies.strategy import Configured

# How many times the size of the next member a chain's member keeps, unless it says otherwise.
DEFAULT_KEEP = 10


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

    def leaves(self) -> Iterator[Configured]:
        for member in self.members:
            yield from member.leaves()

    def to_json(self) -> Any:
        return {
            "chain": [
                _kept(member, keep) for member, keep in zip(self.members, self.keeps, strict=True)
            ]
        }

    def without(self, absent: frozenset[str]) -> Specification:
        return Chain(tuple(member.without(absent) for member in self.members), self.keeps)

    def sizes(self, size: int) -> list[int]:
        """How many each member must give for a batch of `size`, before the pool limits it."""
        sizes = [size]
        for keep in reversed(self.keeps[:-1]):
            sizes.append(math.ceil(sizes[-1] * (DEFAULT_KEEP if keep is None else keep)))
        return sizes[::-1]

    def pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        *before, last = zip(self.members, self.sizes(size), strict=True)
        for member, kept in before:
            # A member that could keep everything decides nothing, so it need not be run.
            if kept < len(pool.eligible):
                pool = pool.restricted_to(member.pick(pool, kept, rng).indices)
        found = last[0].pick(pool, size, rng)
        leading = "".join(f"{member.name} > " for member in self.members[:-1])
        return replace(found, branches=tuple(leading + branch for branch in found.branches))


def _kept(member: Specification, keep: float | None) -> Any:
    written = member.to_json()
    if keep is None:
        return written
    if isinstance(member, Leaf):
        return {member.name: {**member.given, "keep": keep}}
    return {**written, "keep": keep}
