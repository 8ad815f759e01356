"""Which tasks are held out: intervals of one permanent random number a task.

Permanent random numbers (Ohlsson 1995, "Coordination of samples using permanent random numbers"):
a task's number depends on the project's secret and the task's key alone, so that membership
depends on neither the order of arrival, nor on scores, nor on time, and can be proved later.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_TEST, DEFAULT_VALIDATION = 100, 50
_TEST_SHARE, _VALIDATION_SHARE, _POOL_SHARE = 5, 10, 2  # one part in so many


@dataclass(frozen=True)
class Interval:
    """The numbers u with low <= u < high."""

    low: float
    high: float

    def __contains__(self, u: float) -> bool:
        return self.low <= u < self.high


@dataclass(frozen=True)
class Holdout:
    """The members, as positions in the keys that were given, in the order of their numbers."""

    test: list[int]
    validation: list[int]
    test_interval: Interval
    validation_interval: Interval


def permanent_random_number(secret: bytes, key: str) -> float:
    """A number in [0, 1), uniform over keys, the same for ever for one secret and key.

    The first 53 bits of HMAC-SHA256(secret, key), which a float holds exactly.
    """
    digest = hmac.new(secret, key.encode(), hashlib.sha256).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2.0**53


def holdout_sizes(
    budget: int | None,
    pool_size: int,
    test: int = DEFAULT_TEST,
    validation: int = DEFAULT_VALIDATION,
) -> tuple[int, int]:
    """(test, validation) sizes: those wished for, within what the project can afford.

    Test takes at most 20 % and validation at most 10 % of the label budget (None: no limit), and
    both together at most half of the pool, shared in the proportion of the two.
    """
    if budget is not None:
        test = min(test, budget // _TEST_SHARE)
        validation = min(validation, budget // _VALIDATION_SHARE)
    most = pool_size // _POOL_SHARE
    if test + validation > most:
        test = most * test // (test + validation)
        validation = min(validation, most - test)
    return test, validation


def draw_holdout(
    keys: Sequence[str], secret: bytes, test_size: int, validation_size: int
) -> Holdout:
    """Hold out the `test_size` smallest numbers for the test and the next ones for validation.

    `keys` are task ids, or group ids where tasks of one group must stay together: tasks with the
    same key have the same number and are never split. A group that would exceed a size ends that
    part early, so that a part may be smaller than asked. The intervals end at the first number
    left out, 1.0 when none is. Raises ValueError for negative sizes.
    """
    if test_size < 0 or validation_size < 0:
        raise ValueError("test_size and validation_size must not be negative")
    numbers = [permanent_random_number(secret, key) for key in keys]
    order = sorted(range(len(keys)), key=lambda index: (numbers[index], index))
    test_end = _end_of_part(order, numbers, 0, test_size)
    validation_end = _end_of_part(order, numbers, test_end, validation_size)
    test_high = numbers[order[test_end]] if test_end < len(order) else 1.0
    validation_high = numbers[order[validation_end]] if validation_end < len(order) else 1.0
    return Holdout(
        order[:test_end],
        order[test_end:validation_end],
        Interval(0.0, test_high),
        Interval(test_high, validation_high),
    )


def _end_of_part(order: list[int], numbers: list[float], start: int, size: int) -> int:
    """The end, at most `start + size`, before which no group of equal numbers is split."""
    end = min(start + size, len(order))
    while start < end < len(order) and numbers[order[end - 1]] == numbers[order[end]]:
        end -= 1
    return end
