"""The result of a backtest: curves, differences, labels saved and the recommendation."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.backtest.comparison import ALPHA, Estimate, Resampling, holm
from backend.backtest.curves import Curves, curves_of
from backend.backtest.labelled_data import LabelledData
from backend.backtest.plan import RANDOM, Plan
from backend.backtest.recommendation import Recommendation, recommend
from backend.backtest.runs import Outcome


@dataclass(frozen=True)
class Measured:
    """One strategy: its curves, and how it compares with random.

    `told_apart` is the sign of the difference where Holm's test over all strategies sees one;
    `detectable` the smallest true difference that this test would probably have seen.
    """

    curves: Curves
    accuracy: Estimate
    macro_f1: Estimate
    saved: Estimate
    told_apart: int
    detectable: float | None
    filled: int


@dataclass(frozen=True)
class Analysis:
    """What a backtest found."""

    items: int
    classes: int
    seeds: int
    test_items: int
    test_hash: str
    plan: Plan
    strategies: Mapping[str, Measured]
    recommendation: Recommendation
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "items": self.items,
            "classes": self.classes,
            "seeds": self.seeds,
            "test_hash": self.test_hash,
            "strategies": {
                name: {
                    "labels": list(self.plan.points),
                    "accuracy": _rounded(found.curves.accuracy),
                    "macro_f1": _rounded(found.curves.macro_f1),
                    "auc_difference_to_random": _interval(found.accuracy),
                    "labels_saved": _interval(found.saved),
                }
                for name, found in self.strategies.items()
            },
            "recommendation": {
                "strategy": self.recommendation.strategy,
                "text": self.recommendation.text,
            },
            "notes": list(self.notes),
        }


def analyse(
    data: LabelledData,
    plan: Plan,
    outcomes: Mapping[str, Sequence[Outcome]],
    notes: Sequence[str] = (),
) -> Analysis:
    """What the outcomes of each strategy, one a seed and in the same order, say.

    `outcomes` hold "random", which all are compared with.
    """
    tested = np.unique(np.concatenate([one.test for one in outcomes[RANDOM]]))
    units = np.full(len(data), -1, dtype=np.int64)
    units[tested] = np.unique(data.units[tested], return_inverse=True)[1]
    curves = {
        name: curves_of(runs, data.labels, units, plan.points) for name, runs in outcomes.items()
    }
    chance = curves[RANDOM]
    resampling = Resampling(chance)
    accuracy, macro_f1, saved = {}, {}, {}
    for name, found in curves.items():
        accuracy[name] = resampling.difference(found.accuracy_areas, chance.accuracy_areas)
        macro_f1[name] = resampling.difference(found.f1_areas, chance.f1_areas)
        saved[name] = (
            Estimate(0.0, 0.0, 0.0)
            if name == RANDOM
            else resampling.labels_saved(found, chance, plan.points)
        )
    others = {name: found for name, found in accuracy.items() if name != RANDOM}
    told_apart = holm(others) | {RANDOM: 0}
    strategies = {
        name: Measured(
            found,
            accuracy[name],
            macro_f1[name],
            saved[name],
            told_apart[name],
            accuracy[name].detectable(ALPHA / max(len(others), 1)) if name != RANDOM else None,
            sum(run.filled for run in outcomes[name]),
        )
        for name, found in curves.items()
    }
    return Analysis(
        len(data),
        len(data.classes),
        len(outcomes[RANDOM]),
        round(float(np.mean([len(one.test) for one in outcomes[RANDOM]]))),
        _test_hash(data, outcomes[RANDOM]),
        plan,
        strategies,
        recommend(curves, accuracy, saved, resampling),
        (*data.warnings, *notes, *_filled(strategies, plan)),
    )


def _filled(strategies: Mapping[str, Measured], plan: Plan) -> list[str]:
    return [
        f"{found.filled / (plan.budget * len(found.curves.accuracy)):.0%} of {name}'s picks are "
        "random, because the groups held no more within the limit; raise --group-limit."
        for name, found in strategies.items()
        if found.filled > 0.1 * plan.budget * len(found.curves.accuracy)
    ]


def _test_hash(data: LabelledData, outcomes: Sequence[Outcome]) -> str:
    """SHA-256 of the test items' keys and labels, seed by seed."""
    members = [
        [[str(data.keys[row]), data.classes[data.labels[row]]] for row in outcome.test]
        for outcome in outcomes
    ]
    return hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).hexdigest()


def _rounded(curves: NDArray[np.float64]) -> list[list[float]]:
    rounded: list[list[float]] = np.round(curves, 6).tolist()
    return rounded


def _interval(found: Estimate) -> dict[str, float | None]:
    values = {"mean": found.mean, "low": found.low, "high": found.high}
    return {name: None if v is None else round(v, 6) for name, v in values.items()}
