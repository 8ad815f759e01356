"""Which tasks are held out: intervals of one permanent random number a group.

Permanent random numbers (Ohlsson 1995, "Coordination of samples using permanent random numbers"):
a group's number depends on a secret and the group's key alone, so that membership depends on
neither the order of arrival, nor on scores, nor on time, and can be proved later.
"""

import hashlib
import hmac
import math
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
    """How many groups each role is to hold (tasks, where there are no groups)."""

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
    groups: int,
    *,
    test: int,
    validation: int,
    random_share: float,
    evaluation_cap: float,
) -> Sizes:
    """The sizes wished for in tasks, within what the project can afford, in whole groups.

    The control is the budget's random share, at most a quarter of the pool. Test takes at most
    20 % and validation at most 10 % of the budget; both together what the cap leaves beside the
    control, and at most half of the pool, in the proportion of the two. A part has as many of the
    pool's groups as hold its tasks on average, rounded down; where that is none, it has one if the
    limits for both together allow it, the test set first (a quarter of the groups, for the
    control: it costs no more labels than the random share asks for).
    """
    control = min(round(random_share * budget), int(CONTROL_POOL_SHARE * pool_size))
    test = min(test, int(TEST_SHARE * budget))
    validation = min(validation, int(VALIDATION_SHARE * budget))
    left = max(int(evaluation_cap * budget) - round(random_share * budget), 0)
    most = min(int(POOL_SHARE * pool_size), left)
    if test + validation > most:
        test = most * test // (test + validation)
        validation = min(validation, most - test)
    if not pool_size:
        return Sizes(0, 0, 0)
    room = most * groups // pool_size
    test = _whole(test, pool_size, groups, room)
    validation = _whole(validation, pool_size, groups, room - test)
    control = _whole(control, pool_size, groups, int(CONTROL_POOL_SHARE * groups))
    return Sizes(test, validation, control)


def _whole(tasks: int, pool_size: int, groups: int, room: int) -> int:
    """The groups that hold so many tasks on average; one for less than that, where it has room."""
    found = tasks * groups // pool_size
    return min(1, max(room, 0)) if tasks and not found else found


def draw_intervals(
    secret: bytes, numbers: Sequence[float], strata: Sequence[str], sizes: Sizes
) -> dict[str, Intervals]:
    """The intervals of each stratum that hold so many groups.

    numbers, strata  of each task: its group's
    secret           decides which strata of few groups give one: each gives what is proportional to
                     its groups, rounded down or up so that it gives exactly that on average over
                     secrets, and all of them together the whole (systematic, with a random start;
                     Cochran 1977, chapter 8)

    Which groups these are does not depend on their sizes. Within a stratum test takes the lowest
    numbers, validation the next, and control the highest. An interval ends at the first number left
    out; that of an empty part is empty.
    """
    members: dict[str, set[float]] = {stratum: set() for stratum in strata}
    for number, stratum in zip(numbers, strata, strict=True):
        members[stratum].add(number)
    left = {stratum: len(mine) for stratum, mine in members.items()}
    given: dict[Role, dict[str, int]] = {}
    # Each role from what those before it left, so that all groups have the same chance of it.
    for role in ROLES:
        given[role] = _allocated(
            left,
            min(getattr(sizes, role), sum(left.values())),
            permanent_random_number(secret, f"allocation of {role}"),
        )
        left = {stratum: count - given[role][stratum] for stratum, count in left.items()}
    found = {}
    for stratum in sorted(members):
        ascending = sorted(members[stratum])
        test_end = given["test"][stratum]
        validation_end = test_end + given["validation"][stratum]
        control_begin = len(ascending) - given["control"][stratum]
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


def _allocated(groups: Mapping[str, int], size: int, start: float) -> dict[str, int]:
    """The part of `size` that each stratum gives: its share, rounded down or up."""
    total = max(sum(groups.values()), 1)
    before, given = 0, {}
    for stratum in sorted(groups):
        after = before + groups[stratum]
        given[stratum] = math.floor(size * after / total + start) - math.floor(
            size * before / total + start
        )
        before = after
    return given
