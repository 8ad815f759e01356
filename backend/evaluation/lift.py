"""What the strategy's picks add to one common start beyond what as many random labels add."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_variance import clustered_variance, least_variance
from backend.evaluation.control_blocks import FEWEST_BLOCKS
from backend.evaluation.quantiles import student_quantile

POWER = 0.8
Verdict = Literal["above", "below", "not visible"]
NOT_VISIBLE: Verdict = "not visible"


@dataclass(frozen=True)
class Lift:
    """The mean difference in accuracy over the blocks, value added to the start they share.

    low, high          the interval of error `alpha` (that of this look, not of the whole plan)
    verdict            "above" or "below" zero where the interval leaves zero out, else "not
                       visible": which is not to say that there is none
    half_width         lifts estimated nearer to zero than this are not visible
    smallest_visible   the true lift that would be seen in four of five such comparisons
    """

    value: float | None
    low: float | None
    high: float | None
    alpha: float
    blocks: int
    items: int
    verdict: Verdict
    half_width: float | None
    smallest_visible: float | None
    reason: str | None


def lift(
    strategy_hits: NDArray[np.bool_],
    control_hits: NDArray[np.bool_],
    groups: NDArray[Any] | None = None,
    alpha: float = 0.05,
) -> Lift:
    """The lift over H blocks of rounds, with an interval for the chance of labels and of items.

    strategy_hits   (H, n) whether the model trained on the start and block b's m best-ranked picks
                    is right on item i of validation set (a)
    control_hits    (H, n) the same for the start and block b's m control labels
    groups          (n,) of the items
    alpha           error allowed to this look: its share in `LookPlan.alphas`

    e_bi = strategy_hits - control_hits,  d_b = mean_i e_bi,  lift = mean_b d_b
    variance = s²(d_b)/H + s²(mean_b e_bi)/n, the second by group (`clustered_variance`) and not
               below what half an item would make of it (`least_variance`)
    interval = lift ± t_{1-alpha/2}·sqrt(variance), Student's with H - 1 degrees of freedom (fewer
    where the items have fewer groups)

    Blocks are disjoint and share start and items only: for a strategy that is no better than
    random the d_b are exchangeable around zero, whatever the items. The chance of single
    predictions enters both terms: in simulations the error is 1.2 to 1.4 times the true one. The
    first term matters most: an interval over items alone takes the luck of a few labels for skill.
    smallest_visible = (t_{1-alpha/2} + t_{0.8})·sqrt(variance). None with a reason below 5 blocks,
    2 items, or from one group of items. Raises ValueError for shapes that do not fit.
    """
    strategy, control = np.asarray(strategy_hits), np.asarray(control_hits)
    if strategy.shape != control.shape or strategy.ndim != 2:
        raise ValueError(
            f"strategy {strategy.shape} and control {control.shape}: give (blocks, items) of both"
        )
    blocks, items = strategy.shape
    if blocks < FEWEST_BLOCKS:
        reason = f"too few: {blocks} blocks of control labels, {FEWEST_BLOCKS} are needed"
        return _unknown(alpha, blocks, items, reason)
    differences = strategy.astype(np.float64) - control.astype(np.float64)
    over_items = clustered_variance(differences.mean(axis=0), groups)
    if over_items.variance is None:
        reason = "the validation set has one group or one item, or none"
        return _unknown(alpha, blocks, items, reason)
    over_blocks = float(differences.mean(axis=1).var(ddof=1)) / blocks
    by_items = max(over_items.variance, least_variance(over_items.effective_groups))
    error = math.sqrt(over_blocks + by_items)
    freedom = max(1.0, min(blocks - 1, over_items.effective_groups - 1))
    half = student_quantile(1 - alpha / 2, freedom) * error
    value = float(differences.mean())
    verdict: Verdict = NOT_VISIBLE
    if abs(value) > half:
        verdict = "above" if value > 0 else "below"
    return Lift(
        value,
        max(-1.0, value - half),
        min(1.0, value + half),
        alpha,
        blocks,
        items,
        verdict,
        half,
        half + student_quantile(POWER, freedom) * error,
        None,
    )


def in_words(found: Lift) -> str:
    """One sentence, in points of accuracy, with the smallest lift that could be seen."""
    if found.value is None or found.low is None or found.high is None:
        return f"Lift unknown: {found.reason}."
    smallest = (
        "unknown" if found.smallest_visible is None else f"{100 * found.smallest_visible:.1f}"
    )
    size = f"{100 * found.value:+.1f} points ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    text = "Lift not visible" if found.verdict == NOT_VISIBLE else f"Lift {found.verdict} zero"
    return (
        f"{text}: {size}, value added to the common start over {found.blocks} blocks; "
        f"a lift of {smallest} points would be seen four times of five."
    )


def _unknown(alpha: float, blocks: int, items: int, reason: str) -> Lift:
    return Lift(None, None, None, alpha, blocks, items, NOT_VISIBLE, None, None, reason)
