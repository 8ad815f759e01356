"""How far apart two sets of tasks are in each metadata field, and how far chance alone puts them.

The null distribution permutes which groups belong to which set (Good 2005, "Permutation,
Parametric and Bootstrap Tests of Hypotheses"), so that it holds for items that come in groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_variance import group_numbers
from backend.evaluation.covariates import levels
from strategies.arrays import Column
from strategies.metadata_columns import numbers

PERMUTATIONS = 999


@dataclass(frozen=True)
class FieldDistance:
    """One field's distance between two sets.

    kind      "categorical": total variation sum |p - q| / 2 in [0, 1] over levels;
              "numeric": difference of means in standard deviations within the sets, signed
    chance    95% quantile of its size under permutation
    p_value   share of permutations at least as far, counting the one observed
    """

    field: str
    kind: Literal["categorical", "numeric"]
    distance: float
    chance: float
    p_value: float


def metadata_distances(
    first: Mapping[str, Column],
    second: Mapping[str, Column],
    first_groups: Column | None = None,
    second_groups: Column | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> tuple[FieldDistance, ...]:
    """Distances of the fields that both sets have, the least probable by chance first.

    first, second  {field: (a,)} and {field: (b,)}; missing values are a level of a categorical
                   field and left out of a numeric one
    groups         of the rows; what a group has in one set stays together
    """
    fields = [field for field in first if field in second]
    sizes = [len(first[fields[0]]), len(second[fields[0]])] if fields else [0, 0]
    if not all(sizes):
        return ()
    units, unit_sizes, of_second = _units(sizes, first_groups, second_groups)
    rng = np.random.default_rng(seed)
    tables = {f: _table(first[f], second[f], units, len(unit_sizes)) for f in fields}
    observed = {f: _distance(tables[f], of_second) for f in fields}
    beyond = dict.fromkeys(fields, 1)
    chance: dict[str, list[float]] = {f: [] for f in fields}
    for _ in range(permutations):
        drawn = rng.permutation(of_second)
        for field in fields:
            size = abs(_distance(tables[field], drawn))
            beyond[field] += size >= abs(observed[field]) - 1e-12
            chance[field].append(size)
    found = [
        FieldDistance(
            field,
            tables[field].kind,
            observed[field],
            float(np.quantile(chance[field], 0.95)) if permutations else 0.0,
            beyond[field] / (permutations + 1),
        )
        for field in fields
    ]
    return tuple(sorted(found, key=lambda one: (one.p_value, -abs(one.distance))))


@dataclass(frozen=True, eq=False)
class _Table:
    """What each unit (group and set) adds: counts of levels, or count, sum and sum of squares."""

    kind: Literal["categorical", "numeric"]
    values: NDArray[np.float64]


def _units(
    sizes: list[int], first_groups: Column | None, second_groups: Column | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Each row's unit, the units' sizes, and which units are of the second set."""
    left = group_numbers(first_groups, sizes[0])
    right = group_numbers(second_groups, sizes[1]) + int(left.max()) + 1
    units = np.concatenate([left, right])
    unit_sizes = np.bincount(units).astype(np.int64)
    return units, unit_sizes, np.arange(len(unit_sizes)) > left.max()


def _table(first: Column, second: Column, units: NDArray[np.int64], count: int) -> _Table:
    column = np.concatenate([np.asarray(first), np.asarray(second)])
    if len(column) != len(units):
        raise ValueError(f"a metadata field has {len(column)} values for {len(units)} rows")
    values = numbers(column)
    if values is None:
        codes, names = levels(column)
        cells = np.bincount(units * len(names) + codes, minlength=count * len(names))
        return _Table("categorical", cells.reshape(count, len(names)).astype(np.float64))
    present = np.isfinite(values)
    x = np.where(present, values - (values[present].mean() if present.any() else 0.0), 0.0)
    moments = [np.bincount(units, weights=w, minlength=count) for w in (present, x, x * x)]
    return _Table("numeric", np.column_stack(moments))


def _distance(table: _Table, of_second: NDArray[np.bool_]) -> float:
    second = of_second.astype(np.float64) @ table.values
    first = table.values.sum(axis=0) - second
    if table.kind == "categorical":
        whole = first.sum(), second.sum()
        return float(np.abs(first / whole[0] - second / whole[1]).sum() / 2) if all(whole) else 0.0
    if not (first[0] and second[0]):
        return 0.0
    means = first[1] / first[0], second[1] / second[0]
    within = first[2] - first[0] * means[0] ** 2 + second[2] - second[0] * means[1] ** 2
    apart = means[1] - means[0]
    deviation = float(np.sqrt(max(0.0, within) / (first[0] + second[0])))
    if deviation <= 1e-9 * abs(apart):
        return float(np.sign(apart)) * 1e9 if apart else 0.0
    return float(apart / deviation)
