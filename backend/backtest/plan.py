"""What a backtest runs: its settings, each seed's split, and the strategies that can run on it."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import strategies
from backend.backtest.labelled_data import BacktestError, LabelledData
from backend.models.ensemble import Kind
from backend.models.input_properties import NAMES
from strategies.combining.group_limit import GroupLimit
from strategies.metadata_columns import PROPERTY_PREFIXES

RANDOM = "random"
DEFAULT_STRATEGIES = ("auto", "margin", "margin_k_means", "badge", RANDOM)
DEFAULT_BATCH, DEFAULT_BUDGET, DEFAULT_SEEDS = 50, 1_000, 10
# Of the items, so many test at most; the interval of an accuracy on 2,000 is ± 2 points.
TEST_SHARE, MOST_TEST_ITEMS = 0.25, 2_000
# As a live project by default: of the budget, for the calibration of the probabilities.
VALIDATION_SHARE, MOST_VALIDATION_ITEMS = 0.1, 50
# Of the pool; where it is used up, every strategy ends with the same labels.
BUDGET_SHARE, LEAST_ROUNDS, LEAST_BATCH = 0.6, 8, 5
# Looked at for the size of the smallest pool, so that a few more seeds keep the same budget.
LEAST_SPLITS = 20
# Changes whenever the same settings would give other runs.
_REVISION = 3


@dataclass(frozen=True)
class Plan:
    """The settings that decide every run, besides its strategy and its seed."""

    batch: int = DEFAULT_BATCH
    budget: int = DEFAULT_BUDGET
    group_limit: int = 1
    members: int = 10
    ensemble: Kind = "bootstrap"

    @property
    def points(self) -> tuple[int, ...]:
        """The numbers of labels at which a head is trained and tested; the first is the start."""
        return tuple(range(self.batch, self.budget + 1, self.batch))

    def key(self, data: LabelledData) -> str:
        """A name for the runs of these settings on this data."""
        text = json.dumps([_REVISION, asdict(self), data.digest()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def fitted_plan(
    data: LabelledData,
    batch: int | None = None,
    budget: int | None = None,
    group_limit: int = 1,
    members: int = 10,
    seeds: int = 1,
) -> tuple[Plan, tuple[str, ...]]:
    """The settings for this data, what was not given chosen to suit it; sentences about it.

    Raises BacktestError for a budget that the pool or the batch does not allow, and for data of
    which nothing can be kept to test.
    """
    # Groups of unlike sizes leave pools of unlike sizes: the budget must fit the smallest.
    drawn = [split(data, n, MOST_VALIDATION_ITEMS) for n in range(max(seeds, LEAST_SPLITS))]
    pool = min(len(one.pool) for one in drawn)
    if not len(drawn[0].test) or not pool:
        raise BacktestError(
            "No items can be kept to test on: all belong together, by one group or one repeated "
            "content, and what belongs together is never split. Name another --group-column, or "
            "add other items."
        )
    notes: list[str] = []
    if blocked := max(one.blocked for one in drawn):
        notes.append(
            f"Up to {blocked:,} items are near-duplicates of items that test or calibrate, and do "
            "not train: that would measure memory."
        )
    if budget is None:
        budget = min(DEFAULT_BUDGET, max(int(pool * BUDGET_SHARE), 2 * LEAST_BATCH))
        if batch is not None:
            budget = max(budget // batch, 2) * batch
    if batch is None:
        batch = min(DEFAULT_BATCH, max(LEAST_BATCH, budget // LEAST_ROUNDS // 5 * 5))
        batch = min(batch, budget)
    rounded = budget // batch * batch
    if rounded < 2 * batch:
        raise BacktestError(
            f"A budget of {budget} is not two batches of {batch}; raise --budget or lower --batch."
        )
    if rounded > pool:
        raise BacktestError(
            f"A budget of {budget} does not fit the pool of {pool} items that are left beside the "
            f"test set; lower --budget to {int(pool * BUDGET_SHARE) // batch * batch or batch}."
        )
    if rounded != budget:
        notes.append(f"The budget is rounded down to whole batches: {rounded} labels.")
    if rounded > 0.8 * pool:
        notes.append(
            f"The budget uses {rounded / pool:.0%} of the pool: towards its end all strategies "
            "have the same labels. A smaller --budget shows more."
        )
    return Plan(batch, rounded, group_limit, members), tuple(notes)


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of the data, each ascending but `initial`, which is in the order of its draw.

    blocked  how many items are left out as near-duplicates of what tests or calibrates
    """

    test: NDArray[np.int64]
    validation: NDArray[np.int64]
    pool: NDArray[np.int64]
    initial: NDArray[np.int64]
    blocked: int = 0


def split(data: LabelledData, seed: int, validation: int, first: int = 0) -> Split:
    """The split of a seed, the same for every strategy: no group lies in two parts.

    About a quarter of the items tests, at most 2,000 (or those that the data names); about
    `validation` items calibrate; `first` random ones of the others are the initial set.
    """
    rng = np.random.default_rng((seed, 0x5B117))
    units = data.units
    sizes = np.bincount(units)
    role = np.zeros(len(sizes), dtype=np.int64)  # 0: pool, 1: test, 2: validation
    if data.test is None:
        wanted = min(int(len(data) * TEST_SHARE), MOST_TEST_ITEMS)
        order = rng.permutation(len(sizes))
        role[order[_taken(sizes[order], wanted, len(data) // 2)]] = 1
        rest = order[role[order] == 0]
    else:
        role[units[data.test]] = 1
        rest = rng.permutation(np.flatnonzero(role == 0))
    role[rest[_taken(sizes[rest], validation, int(sizes[rest].sum()) // 5)]] = 2
    of_item = role[units]
    test = of_item == 1 if data.test is None else data.test
    # What shares a group with a test item that was named neither trains nor tests, and as in a live
    # round no near-duplicate of what tests or calibrates trains.
    close = data.too_close(test | (of_item == 2)) & (of_item == 0)
    pool = np.flatnonzero((of_item == 0) & ~close)
    initial = rng.permutation(pool)[:first]
    return Split(
        np.flatnonzero(test), np.flatnonzero(of_item == 2), pool, initial, int(close.sum())
    )


def _taken(sizes: NDArray[np.int64], wanted: int, most: int) -> NDArray[np.int64]:
    """The first groups that reach `wanted` items and do not exceed `most`, larger ones left out."""
    fitting = np.flatnonzero(sizes <= most)
    reached = np.cumsum(sizes[fitting])
    count = int(np.searchsorted(reached, wanted)) + 1 if wanted > 0 else 0
    count = min(count, len(fitting))
    while count and reached[count - 1] > most:
        count -= 1
    return fitting[:count]


def validation_size(plan: Plan) -> int:
    """How many labels calibrate, as in a live project of this budget."""
    return min(MOST_VALIDATION_ITEMS, math.floor(VALIDATION_SHARE * plan.budget))


def named(written: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """Strategies by the name they are reported under, as they were given; random comes along.

    written  strategies, or strategies by the text that they were given as

    Raises strategies.GrammarError with the path of what is wrong.
    """
    found: dict[str, Any] = {}
    if not isinstance(written, Mapping):
        written = {one if isinstance(one, str) else json.dumps(one): one for one in written}
    for number, (name, spec) in enumerate(written.items()):
        strategies.parse(spec, f"strategies[{number}]")
        found[name] = spec
    found.setdefault(RANDOM, RANDOM)
    return found


def specification(spec: Any, data: LabelledData, plan: Plan) -> strategies.Specification:
    """The strategy as a live round runs it: with the group limit where the items have groups.

    Raises BacktestError where it needs what the data has not.
    """
    parsed = strategies.parse(spec)
    whole = parsed if data.groups is None else GroupLimit(parsed, plan.group_limit)
    name = spec if isinstance(spec, str) else json.dumps(spec)
    if "groups" in whole.needs and data.groups is None:
        raise BacktestError(
            f"The strategy {name} needs groups; name their column with --group-column."
        )
    lacking = whole.columns - set(data.metadata)
    if measured := sorted(column for column in lacking if column.startswith(PROPERTY_PREFIXES)):
        known = NAMES["text" if measured[0].startswith("text:") else "image"]
        if measured[0] not in known:
            raise BacktestError(
                f"The strategy {name} reads {measured[0]}, and there is no property of that name; "
                f"there are {', '.join(known)}."
            )
        raise BacktestError(
            f"The strategy {name} reads {measured[0]}, which is not measured here: a file must "
            "hold the contents of that kind, and a project's own strategy must read such "
            "properties. Give it as a column of the data, or leave the strategy out."
        )
    if missing := sorted(whole.columns - set(data.metadata)):
        raise BacktestError(
            f"The strategy {name} reads the column {missing[0]!r}, which the data has not; it has "
            f"{', '.join(sorted(data.metadata)) or 'none'}."
        )
    if "metadata" in whole.needs and not data.metadata:
        raise BacktestError(
            f"The strategy {name} reads metadata or measured properties, and the data has no "
            "further columns and no properties that were measured; add columns, configure the "
            "project with a strategy that reads properties, or leave this one out."
        )
    return whole
