"""Which tasks are held out: intervals of one permanent random number a group.

Permanent random numbers (Ohlsson 1995, "Coordination of samples using permanent random numbers"):
a group's number depends on a secret and the group's key alone, so that membership depends on
neither the order of arrival, nor on scores, nor on time, and can be proved later.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["test", "validation", "control"]
ROLES: tuple[Role, ...] = ("test", "validation", "control")
DEFAULT_VALIDATION = 50
TEST_SHARE, VALIDATION_SHARE, POOL_SHARE = 0.2, 0.1, 0.5
# Of a small pool the strategy keeps at least this part to choose from.
CONTROL_POOL_SHARE = 0.25


@dataclass(frozen=True)
class Interval:
    """The numbers u with low <= u < high."""

    low: float
    high: float

    def __contains__(self, u: float) -> bool:
        return self.low <= u < self.high


NOTHING = Interval(0.0, 0.0)


@dataclass(frozen=True)
class Intervals:
    """What each role takes of [0, 1) in one stratum; they do not overlap."""

    test: Interval = NOTHING
    validation: Interval = NOTHING
    control: Interval = NOTHING

    def role_of(self, u: float) -> Role | None:
        """The role of the groups with this number; None: open to the strategies."""
        if u in self.test:
            return "test"
        if u in self.validation:
            return "validation"
        return "control" if u in self.control else None

    def as_document(self) -> dict[str, list[float]]:
        """For JSON; a float's digits come back exactly."""
        return {role: [getattr(self, role).low, getattr(self, role).high] for role in ROLES}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "Intervals":
        """The inverse of as_document."""
        return cls(**{role: Interval(*document[role]) for role in ROLES})


@dataclass(frozen=True)
class Sizes:
    """How many tasks each role is to hold."""

    test: int
    validation: int
    control: int


def permanent_random_number(secret: bytes, key: str) -> float:
    """A number in [0, 1), uniform over keys, the same for ever for one secret and key.

    The first 53 bits of HMAC-SHA256(secret, key), which a float holds exactly.
    """
    digest = hmac.new(secret, key.encode(), hashlib.sha256).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2.0**53


def affordable_sizes(
    budget: int,
    pool_size: int,
    *,
    test: int,
    validation: int,
    random_share: float,
    evaluation_cap: float,
) -> Sizes:
    """The sizes wished for, within what the project can afford.

    The control is the budget's random share, at most a quarter of the pool. Test takes at most
    20 % and validation at most 10 % of the budget; both together what the cap leaves beside the
    control, and at most half of the pool, in the proportion of the two.
    """
    control = min(round(random_share * budget), int(CONTROL_POOL_SHARE * pool_size))
    test = min(test, int(TEST_SHARE * budget))
    validation = min(validation, int(VALIDATION_SHARE * budget))
    left = max(int(evaluation_cap * budget) - round(random_share * budget), 0)
    most = min(int(POOL_SHARE * pool_size), left)
    if test + validation > most:
        test = most * test // (test + validation)
        validation = min(validation, most - test)
    return Sizes(test, validation, control)


def draw_intervals(
    keys: Sequence[str], numbers: Sequence[float], strata: Sequence[str], sizes: Sizes
) -> dict[str, Intervals]:
    """The intervals of each stratum that hold at most these numbers of tasks.

    keys, numbers, strata of each task: its group's. Every stratum gives in proportion to its tasks
    (largest remainders first). Within one, test takes the lowest numbers, validation the next, and
    control the highest; a group that would exceed a size ends that part early, so that a part may
    be smaller than asked. An interval ends at the first number left out.
    """
    counts = Counter(strata)
    shares = {
        role: _proportional(counts, min(getattr(sizes, role), len(keys)), len(keys))
        for role in ROLES
    }
    found = {}
    for stratum in sorted(counts):
        groups: Counter[float] = Counter(
            number for number, mine in zip(numbers, strata, strict=True) if mine == stratum
        )
        ascending = sorted(groups)
        test_end = _end_of_part(ascending, groups, 0, shares["test"][stratum])
        validation_end = _end_of_part(ascending, groups, test_end, shares["validation"][stratum])
        rest = ascending[validation_end:][::-1]
        control_end = _end_of_part(rest, groups, 0, shares["control"][stratum])
        test_high = ascending[test_end] if test_end < len(ascending) else 1.0
        validation_high = ascending[validation_end] if rest else 1.0
        control_low = rest[control_end - 1] if control_end else 1.0
        found[stratum] = Intervals(
            Interval(0.0, test_high),
            Interval(test_high, validation_high),
            Interval(control_low, 1.0),
        )
    return found


def _proportional(counts: Mapping[str, int], size: int, total: int) -> dict[str, int]:
    exact = {stratum: size * count / total for stratum, count in counts.items()}
    given = {stratum: int(share) for stratum, share in exact.items()}
    by_remainder = sorted(exact, key=lambda stratum: (given[stratum] - exact[stratum], stratum))
    for stratum in by_remainder[: size - sum(given.values())]:
        given[stratum] += 1
    return given


def _end_of_part(order: list[float], tasks: Mapping[float, int], start: int, size: int) -> int:
    """Where the part that begins at `start` ends, with whole groups of at most `size` tasks."""
    end, held = start, 0
    while end < len(order) and held + tasks[order[end]] <= size:
        held += tasks[order[end]]
        end += 1
    return end
