"""A batch shared among members by quota."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from strategies.apportionment import interleaved, largest_remainder
from strategies.combining.specification import Selection, Specification
from strategies.pool import Pool
from strategies.strategy import Configured


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

    def leaves(self) -> Iterator[Configured]:
        for member in self.members:
            yield from member.leaves()

    def to_json(self) -> Any:
        pairs = zip(self.shares, self.members, strict=True)
        return {"mix": [{"share": share, "of": member.to_json()} for share, member in pairs]}

    def without(self, absent: frozenset[str]) -> Specification:
        return Mix(self.shares, tuple(member.without(absent) for member in self.members))

    def pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        parts = []
        for quota, member in zip(largest_remainder(self.shares, size), self.members, strict=True):
            parts.append(member.pick(pool, min(quota, len(pool.eligible)), rng))
            pool = pool.with_picked(parts[-1].indices)
        order, taken = [], [0] * len(parts)
        for part in interleaved([len(found) for found in parts]):
            order.append((part, taken[part]))
            taken[part] += 1
        return Selection.joined(parts, order)
