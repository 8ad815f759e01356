"""One sentence of advice from a backtest, which may be that no difference was found.

The strategy is chosen on half of the seeds and its figure comes from the other half, since the best
of several looks better than it is where it was chosen. It is recommended only where it also stands
above random when all strategies are tested together (Holm), on all seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backend.backtest.comparison import ALPHA, Estimate, Resampling, holm
from backend.backtest.curves import Curves
from backend.backtest.plan import RANDOM

FEWEST_SEEDS = 4


@dataclass(frozen=True)
class Recommendation:
    """`strategy` is None where no strategy can be told from random; `text` says it in words."""

    strategy: str | None
    text: str
    against_random: Estimate | None = None
    second: str | None = None
    against_second: Estimate | None = None


def recommend(
    curves: Mapping[str, Curves],
    differences: Mapping[str, Estimate],
    saved: Mapping[str, Estimate],
    resampling: Resampling,
) -> Recommendation:
    """The advice for strategies with these curves, differences to random and labels saved."""
    names = [name for name in curves if name != RANDOM]
    seeds = len(curves[RANDOM].accuracy)
    if not names:
        return Recommendation(None, "Only random selection was tried: name other strategies.")
    if seeds < FEWEST_SEEDS:
        return Recommendation(
            None,
            f"No difference can be shown with {seeds} seed{'s' if seeds > 1 else ''}: half of them "
            f"choose and half report, so {FEWEST_SEEDS} are the least and 10 are sensible "
            "(--seeds 10).",
        )
    choosing, reporting = np.arange(0, seeds, 2), np.arange(1, seeds, 2)

    def mean(name: str) -> float:
        areas, chance = curves[name].accuracy_areas, curves[RANDOM].accuracy_areas
        return resampling.difference(areas, chance, choosing).mean

    ranked = sorted(names, key=lambda name: -mean(name))
    told_apart = holm({name: differences[name] for name in names})
    harmful = [name for name in names if told_apart[name] < 0]
    promising = [name for name in ranked if told_apart[name] > 0]
    if promising:
        # One is chosen, and the other half judges it alone: whoever tries the next where it fails
        # chooses on both halves.
        best = promising[0]
        found = _on(curves, best, RANDOM, resampling, reporting)
        if found.sign > 0:
            others = [other for other in ranked if other != best]
            second = others[0] if others else None
            gap = _on(curves, best, second, resampling, reporting) if second else None
            text = _advice(best, found, saved[best], len(reporting), second, gap)
            return Recommendation(best, text + _warning(harmful), found, second, gap)
        text = (
            f"No difference found that stands on the {len(reporting)} seeds kept for the check: "
            f"over all {seeds} seeds {best} is above random selection, "
            f"{_points(differences[best])} of accuracy over the curve, but on those alone it is "
            f"{_points(found)}. More --seeds would settle it."
        )
    else:
        best = ranked[0]
        limit = differences[best].detectable(ALPHA / len(names))
        text = (
            "No difference found: no strategy can be told from random selection on this data. The "
            f"nearest to it is {best}, {_points(differences[best])} of accuracy over the curve; "
            f"with {seeds} seeds and these test items a difference below {_number(limit)} points "
            "is not visible. More labelled items or --seeds would show smaller ones."
        )
    return Recommendation(None, text + _warning(harmful), differences[best])


def _on(
    curves: Mapping[str, Curves],
    name: str,
    other: str,
    resampling: Resampling,
    seeds: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> Estimate:
    one, two = curves[name].accuracy_areas, curves[other].accuracy_areas
    return resampling.difference(one, two, seeds)


def _advice(
    name: str,
    found: Estimate,
    saved: Estimate,
    seeds: int,
    second: str | None,
    gap: Estimate | None,
) -> str:
    text = (
        f"Use {name}: against random selection its accuracy over the curve is {_points(found)}, on "
        f"the {seeds} seeds that did not choose it"
    )
    if saved.low is not None and saved.high is not None:
        text += (
            f"; over all seeds it saves {saved.mean:.0%} of the labels (95% interval "
            f"{saved.low:.0%} to {saved.high:.0%})"
        )
    text += "."
    if second is not None and gap is not None:
        if gap.sign > 0:
            text += f" It is also better than the next, {second}: {_points(gap)}."
        else:
            text += f" It cannot be told from {second} ({_points(gap)})."
    return text


def _warning(harmful: list[str]) -> str:
    if not harmful:
        return ""
    return f" Worse than random here: {', '.join(harmful)}."


def _points(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.mean:+.1f} points"
    return (
        f"{100 * estimate.mean:+.1f} points (95% interval {100 * estimate.low:+.1f} to "
        f"{100 * estimate.high:+.1f})"
    )


def _number(value: float | None) -> str:
    return "any number of" if value is None else f"{100 * value:.1f}"
