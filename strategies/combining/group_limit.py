"""At most so many items of a group (patient, volume, video) in one batch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from strategies.combining.specification import Selection, Specification
from strategies.errors import MissingInputError
from strategies.groups import group_numbers
from strategies.picks import INCLUSION_PROBABILITY
from strategies.pool import Pool
from strategies.strategy import Configured

# How many more picks than the batch still lacks are asked for at once: what a full group gives
# too many is passed over, and the strategy has seen it as picked, so its neighbours are covered.
# Each further round asks for twice as much: with few large groups they would be very many.
OVERSAMPLING = 1.5


@dataclass(frozen=True)
class GroupLimit(Specification):
    """The picks of `member` in order, but for those whose group has `at_most` picks already.

    Fewer than `size` only where the groups hold no more. Needs `Pool.groups`. An inclusion
    probability of the member's no longer holds and is left out.
    """

    member: Specification
    at_most: int

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def needs(self) -> frozenset[str]:
        return self.member.needs | {"groups"}

    @property
    def uses(self) -> frozenset[str]:
        return self.member.uses | {"groups"}

    def leaves(self) -> Iterator[Configured]:
        yield from self.member.leaves()

    def to_json(self) -> Any:
        return {"groups": {"at_most": self.at_most, "of": self.member.to_json()}}

    def without(self, absent: frozenset[str]) -> Specification:
        member = self.member.without(absent)
        return member if "groups" in absent else GroupLimit(member, self.at_most)

    def pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        if pool.groups is None:
            raise MissingInputError(f"groups of {self.name}", "groups")
        group_of = group_numbers(pool.groups)
        taken = np.zeros(int(group_of.max(initial=-1)) + 1, dtype=np.int64)
        parts: list[Selection] = []
        order: list[tuple[int, int]] = []
        oversampling = OVERSAMPLING
        while len(order) < size and len(pool.eligible):
            waiting = np.bincount(group_of[pool.eligible], minlength=len(taken))
            room = int(np.minimum(waiting, self.at_most - taken).sum())
            lacking = min(size - len(order), room)
            asked = min(len(pool.eligible), int(np.ceil(lacking * oversampling)))
            oversampling *= 2.0
            found = self.member.pick(pool, asked, rng)
            kept: list[int] = []
            for place, index in enumerate(found.indices):
                if taken[group_of[index]] < self.at_most and len(kept) < lacking:
                    taken[group_of[index]] += 1
                    kept.append(place)
            order += [(len(parts), place) for place in kept]
            parts.append(found)
            full = np.flatnonzero(taken[group_of] >= self.at_most)
            pool = pool.with_picked(found.indices[kept]).without(full)
        joined = Selection.joined(parts, order)
        details = tuple(
            {name: value for name, value in detail.items() if name != INCLUSION_PROBABILITY}
            for detail in joined.details
        )
        return replace(joined, details=details)
