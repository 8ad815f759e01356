"""How many test labels a figure needs, and how exact a figure is that few labels give."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054
HALF_WIDTH = 0.05
BUDGET_SHARE = 0.2

# No value fits every project, and none is known before the first label. Plain Wilson intervals
# that cover 83% to 67% with 10 slices a patient, as measured for this project, imply correlations
# of right and wrong answers of 0.12 to 0.34; the default is half-way between independent items (0)
# and groups that each count as one item (1), and so on the safe side of those.
INTRA_GROUP_CORRELATION = 0.5


@dataclass(frozen=True)
class Precision:
    """What so many test labels give.

    size           labels
    wanted         labels that the wished half-width needs
    design_effect  factor by which groups inflate the variance
    half_width     that `size` labels give (95%, at the worst accuracy, 50%); None for size 0
    text           the same in words
    """

    size: int
    wanted: int
    design_effect: float
    half_width: float | None
    text: str


def design_effect(
    group_sizes: Sequence[int], correlation: float = INTRA_GROUP_CORRELATION
) -> float:
    """1 + (m' − 1) rho, with the size-weighted mean group size m' = sum m² / sum m.

    By how much a mean over whole groups of sizes m varies more than one over as many independent
    items; correlation rho in [0, 1] is that of two items of one group (Kish 1965, "Survey
    Sampling", section 5.4; for unequal sizes Kish 1987, "Weighting in deft²"). 1.0 without groups.
    Raises ValueError for a size below 1 or a correlation outside [0, 1].
    """
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation: {correlation} is not in [0, 1]")
    if any(size < 1 for size in group_sizes):
        raise ValueError("group sizes must be at least 1")
    total = sum(group_sizes)
    if not total:
        return 1.0
    weighted_mean = sum(size * size for size in group_sizes) / total
    return 1 + (weighted_mean - 1) * correlation


def labels_needed(half_width: float = HALF_WIDTH, design_effect: float = 1.0) -> int:
    """ceil(z² / (4 w²)) × design effect, rounded up: 385 for w = 0.05 and independent items."""
    if not 0 < half_width < 1:
        raise ValueError(f"half-width: {half_width} is not between 0 and 1")
    independent = math.ceil(Z95**2 / (4 * half_width**2))
    return math.ceil(independent * design_effect - 1e-9)


def half_width(size: int, design_effect: float = 1.0) -> float:
    """z sqrt(design effect / (4 n)): of a 95% interval around an accuracy of 50%, the widest."""
    return Z95 * math.sqrt(design_effect / (4 * size)) if size else math.inf


def wanted_test_size(group_sizes: Sequence[int], budget: int) -> int:
    """min(385 × design effect, 20% of the budget, the pool) for ±5 points at 95%.

    group_sizes  tasks of each group of the pool; 1 each where there are no groups
    budget       labels the admin pays for
    """
    wanted = labels_needed(HALF_WIDTH, design_effect(group_sizes))
    return min(wanted, int(budget * BUDGET_SHARE + 1e-9), sum(group_sizes))


def precision(
    group_sizes: Sequence[int], correlation: float = INTRA_GROUP_CORRELATION
) -> Precision:
    """How exact an accuracy is that is measured on a test set of groups of these sizes."""
    effect = design_effect(group_sizes, correlation)
    wanted = labels_needed(HALF_WIDTH, effect)
    size = sum(group_sizes)
    aim = f"±{100 * HALF_WIDTH:.0f} points need {wanted:,} labels"
    grouped = (
        f" (items of one group are alike: a label counts as 1/{effect:.1f} of an independent one)"
        if effect > 1.05
        else ""
    )
    if not size:
        text = f"There is no test set: {aim}, more than the budget, the cap or the pool allow."
        return Precision(0, wanted, effect, None, text)
    width = half_width(size, effect)
    text = (
        f"{size:,} test labels measure accuracy to ±{100 * width:.1f} points or better "
        f"(95% confidence){grouped}."
    )
    if size < wanted:
        text += f" {aim}."
    return Precision(size, wanted, effect, width, text)
