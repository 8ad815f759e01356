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
    """The intervals of each stratum that hold about these numbers of tasks.

    keys, numbers, strata of each task: its group's. Every stratum gives in proportion to its tasks
    (largest remainders first): as many groups as hold that many tasks on average, so that which
    groups these are does not depend on their sizes; at least one where a part is asked for. Within
    a stratum test takes the lowest numbers, validation the next, and control the highest. An
    interval ends at the first number left out; that of an empty part is empty.
    """
    counts = Counter(strata)
    shares = {
        role: _proportional(counts, min(getattr(sizes, role), len(keys)), len(keys))
        for role in ROLES
    }
    members: dict[str, set[float]] = {stratum: set() for stratum in counts}
    for number, stratum in zip(numbers, strata, strict=True):
        members[stratum].add(number)
    found = {}
    for stratum in sorted(counts):
        ascending = sorted(members[stratum])
        mean = counts[stratum] / len(ascending)
        wanted = {role: _groups(shares[role][stratum], mean) for role in ROLES}
        test_end = min(wanted["test"], len(ascending))
        validation_end = min(test_end + wanted["validation"], len(ascending))
        control_begin = max(len(ascending) - wanted["control"], validation_end)
        edges = [*ascending, 1.0]
        low = edges[test_end] if test_end else 0.0
        high = edges[validation_end] if validation_end > test_end else low
        control = edges[control_begin] if control_begin < len(ascending) else 1.0
        found[stratum] = Intervals(Interval(0.0, low), Interval(low, high), Interval(control, 1.0))
    return found


def narrowed(part: Intervals, rates: Mapping[Role, float]) -> Intervals:
    """The intervals with at most these widths: for tasks that arrive when the sizes are reached.

    Each keeps its outer end (test and validation the lower one), so that it lies within the first.
    """
    test, validation, control = (min(_width(getattr(part, r)), rates[r]) for r in ROLES)
    return Intervals(
        Interval(part.test.low, part.test.low + test),
        Interval(part.validation.low, part.validation.low + validation),
        Interval(part.control.high - control, part.control.high),
    )


def _width(interval: Interval) -> float:
    return interval.high - interval.low


def _groups(tasks: int, mean: float) -> int:
    return max(1, round(tasks / mean)) if tasks else 0


def _proportional(counts: Mapping[str, int], size: int, total: int) -> dict[str, int]:
    exact = {stratum: size * count / total for stratum, count in counts.items()}
    given = {stratum: int(share) for stratum, share in exact.items()}
    by_remainder = sorted(exact, key=lambda stratum: (given[stratum] - exact[stratum], stratum))
    for stratum in by_remainder[: size - sum(given.values())]:
        given[stratum] += 1
    return given
