"""How many labels of a rare class a hundred picks bring, next to a hundred random tasks."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_proportion import Proportion, proportion

FEWEST = 10  # labels of each kind


@dataclass(frozen=True)
class RareLabels:
    """Labels of one class per 100; `low` and `high` bound the difference strategy - control."""

    strategy: float | None
    control: float | None
    difference: float | None
    low: float | None
    high: float | None
    strategy_found: int
    control_found: int
    reason: str | None


def rare_labels_per_100(
    strategy: NDArray[np.bool_],
    control: NDArray[np.bool_],
    strategy_groups: NDArray[Any] | None = None,
    control_groups: NDArray[Any] | None = None,
    level: float = 0.95,
) -> RareLabels:
    """Labels of a class per 100 picks (s,) and per 100 control labels (c,), and their difference.

    Both arrays say of each label whether it is of the class. The interval squares and adds the
    distances to the ends of both Wilson intervals, which are by group (`proportion`): difference
    - sqrt((p1 - l1)² + (u2 - p2)²) … + sqrt((u1 - p1)² + (p2 - l2)²). Source: Newcombe 1998,
    Statistics in Medicine 17, 873-890, method 10. None with a reason below 10 labels of either.
    """
    one = proportion(strategy, strategy_groups, level)
    two = proportion(control, control_groups, level)
    found = (one.hits, two.hits)
    if min(one.items, two.items) < FEWEST or one.value is None or two.value is None:
        reason = f"too few: {one.items} picks and {two.items} control labels, {FEWEST} are needed"
        return RareLabels(None, None, None, None, None, *found, reason)
    values = (100 * one.value, 100 * two.value)
    ends = _difference(one, two)
    if ends is None:
        alone = one.reason or two.reason
        return RareLabels(*values, values[0] - values[1], None, None, *found, alone)
    return RareLabels(*values, values[0] - values[1], 100 * ends[0], 100 * ends[1], *found, None)


def _difference(one: Proportion, two: Proportion) -> tuple[float, float] | None:
    if one.value is None or one.low is None or one.high is None:
        return None
    if two.value is None or two.low is None or two.high is None:
        return None
    difference = one.value - two.value
    below = math.hypot(one.value - one.low, two.high - two.value)
    above = math.hypot(one.high - one.value, two.value - two.low)
    return difference - below, difference + above
