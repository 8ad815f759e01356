"""The report: every strategy against random, the best of each set, macro-F1 along the curve."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.labels.runs import Task
from benchmarks.labels.statistics import (
    Array,
    Difference,
    area,
    labels_saved_interval,
    over_sets,
    paired,
)

RANDOM = "random"


class Measured:
    """The outcomes of one choice of points, by set, strategy and seed."""

    def __init__(
        self,
        outcomes: Mapping[Task, Mapping[str, Any]],
        sets: Sequence[str],
        strategies: Sequence[str],
        points: tuple[int, ...],
        seeds: int,
    ) -> None:
        self.points = points
        self.sets = tuple(sets)
        self.strategies = tuple(strategies)
        self._found: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
        for task, outcome in outcomes.items():
            if task.points == points and task.seed < seeds:
                self._found.setdefault((task.set, task.strategy), {})[task.seed] = outcome

    def seconds(self, strategy: str) -> float:
        """The mean seconds of selection in a run."""
        spent = [
            run["seconds"]
            for name in self.sets
            for run in self._found.get((name, strategy), {}).values()
        ]
        return float(np.mean(spent)) if spent else float("nan")

    def seeds(self, name: str, *strategies: str) -> list[int]:
        """The seeds for which the set has a run of each of these strategies."""
        runs = [set(self._found.get((name, strategy), {})) for strategy in strategies]
        return sorted(set.intersection(*runs))

    def curves(self, name: str, strategy: str, seeds: Sequence[int], what: str) -> Array:
        """(seeds, points) of "accuracy" or "macro_f1"."""
        runs = self._found[name, strategy]
        return np.array([runs[seed][what] for seed in seeds], dtype=np.float64)

    def areas(self, name: str, strategy: str, against: str, what: str) -> dict[int, float]:
        """The paired differences of the area under the curve by seed, in points."""
        seeds = self.seeds(name, strategy, against)
        if not seeds:
            return {}
        one, other = (
            area(self.curves(name, s, seeds, what), self.points) for s in (strategy, against)
        )
        return dict(zip(seeds, (one - other).tolist(), strict=True))

    def difference(self, name: str, strategy: str, against: str, what: str) -> Difference | None:
        """The mean of `areas` with its interval; None without a pair."""
        found = self.areas(name, strategy, against, what)
        return paired(np.array(list(found.values()))) if found else None

    def along(self, name: str, strategy: str, what: str) -> list[Difference]:
        """At each point the paired difference to random, in points."""
        seeds = self.seeds(name, strategy, RANDOM)
        if not seeds:
            return []
        gap = self.curves(name, strategy, seeds, what) - self.curves(name, RANDOM, seeds, what)
        return [paired(100 * column) for column in gap.T]

    def saved(self, name: str, strategy: str) -> tuple[float, float, float] | None:
        """Labels saved against random and its interval; None without a pair."""
        seeds = self.seeds(name, strategy, RANDOM)
        if not seeds:
            return None
        own, random = (self.curves(name, s, seeds, "accuracy") for s in (strategy, RANDOM))
        return labels_saved_interval(own, random, self.points)

    def compared(self, strategy: str, what: str, against: str = RANDOM) -> dict[str, Difference]:
        """The difference on each set that has pairs."""
        found = {name: self.difference(name, strategy, against, what) for name in self.sets}
        return {name: difference for name, difference in found.items() if difference is not None}


def show(measured: Measured, console: Console, champion: str | None) -> None:
    """Print every table; `champion` is compared with the best other strategy of each set."""
    console.print(_overview(measured))
    for what in ("accuracy", "macro_f1"):
        console.print(_by_set(measured, what))
    if champion in measured.strategies:
        assert champion is not None
        console.print(_against_the_best(measured, champion))
        console.print(_along_the_curve(measured, champion, "macro_f1"))
        console.print(_along_the_curve(measured, champion, "accuracy"))


def _overview(measured: Measured) -> Table:
    table = Table(
        title="Area under the curve minus random's, in points, over the sets "
        "(95 % interval over paired seeds)",
        caption="Points below: macro-F1 significantly below random's, of all points of all sets; "
        "of equal strategies 2.5 % would be, by chance.",
    )
    for column in (
        "strategy",
        "accuracy",
        "worst set",
        "sets above/below",
        "macro-F1",
        "worst set",
        "points below",
        "labels saved",
        "seconds",
    ):
        table.add_column(column, justify="left" if column == "strategy" else "right")
    rows = []
    for strategy in measured.strategies:
        accuracy = measured.compared(strategy, "accuracy")
        f1 = measured.compared(strategy, "macro_f1")
        if strategy == RANDOM or not accuracy:
            continue
        means = {
            what: over_sets({n: measured.areas(n, strategy, RANDOM, what) for n in accuracy})
            for what in ("accuracy", "macro_f1")
        }
        below = [d.sign < 0 for n in f1 for d in measured.along(n, strategy, "macro_f1")]
        saved = [s[0] for n in accuracy if (s := measured.saved(n, strategy)) is not None]
        signs = [d.sign for d in accuracy.values()]
        row = (
            _short(strategy),
            str(means["accuracy"]),
            _worst(accuracy),
            f"{signs.count(1)}/{signs.count(-1)} of {len(signs)}",
            str(means["macro_f1"]),
            _worst(f1),
            f"{sum(below)} of {len(below)}",
            f"{100 * np.mean(saved):.0f} %",
            f"{measured.seconds(strategy):.1f}",
        )
        rows.append((-np.mean([d.mean for d in accuracy.values()]), row))
    for _, row in sorted(rows, key=lambda pair: pair[0]):
        table.add_row(*row)
    return table


def _by_set(measured: Measured, what: str) -> Table:
    extra = "; labels saved [95 %]" if what == "accuracy" else ""
    table = Table(title=f"{what}: area minus random's, by set{extra}")
    table.add_column("strategy")
    for name in measured.sets:
        table.add_column(name, justify="right")
    for strategy in measured.strategies:
        found = measured.compared(strategy, what)
        if strategy == RANDOM or not found:
            continue
        cells = []
        for name in measured.sets:
            text = ""
            if (difference := found.get(name)) is not None:
                text = f"{difference.mean:+.2f} ±{difference.high - difference.mean:.2f}"
                saved = measured.saved(name, strategy) if what == "accuracy" else None
                if saved is not None:
                    text += "\n{:.0f} % [{:.0f}, {:.0f}]".format(*(100 * s for s in saved))
            cells.append(text)
        table.add_row(_short(strategy), *cells)
    return table


def _against_the_best(measured: Measured, champion: str) -> Table:
    table = Table(title=f"{champion} minus the best other strategy of each set, accuracy area")
    for column in ("set", "seeds", "best other", "difference", "significantly better than it"):
        table.add_column(column)
    for name in measured.sets:
        others = [
            (list(measured.areas(name, strategy, RANDOM, "accuracy").values()), strategy)
            for strategy in measured.strategies
            if strategy not in (champion, RANDOM)
        ]
        ranked = sorted(
            ((float(np.mean(found)), strategy) for found, strategy in others if found),
            reverse=True,
        )
        better = [
            _short(strategy)
            for _, strategy in ranked
            if (d := measured.difference(name, champion, strategy, "accuracy")) and d.sign < 0
        ]
        best = ranked[0][1] if ranked else RANDOM
        difference = measured.difference(name, champion, best, "accuracy")
        if ranked and difference is not None:
            pairs = str(len(measured.seeds(name, champion, best)))
            table.add_row(name, pairs, _short(best), str(difference), ", ".join(better) or "none")
    return table


def _along_the_curve(measured: Measured, strategy: str, what: str) -> Table:
    table = Table(title=f"{strategy}: {what} minus random's at each point (* leaves out zero)")
    table.add_column("set")
    for point in measured.points:
        table.add_column(str(point), justify="right")
    for name in measured.sets:
        if cells := list(_marked(measured.along(name, strategy, what))):
            table.add_row(name, *cells)
    return table


def _marked(differences: Sequence[Difference]) -> Iterator[str]:
    for one in differences:
        yield f"{one.mean:+.1f}{'*' if one.sign else ''}\n±{one.high - one.mean:.1f}"


def _worst(found: Mapping[str, Difference]) -> str:
    name, difference = min(found.items(), key=lambda item: item[1].mean)
    return f"{difference.mean:+.2f} {name}"


def _short(strategy: str) -> str:
    return strategy if len(strategy) <= 60 else strategy[:57] + "..."
