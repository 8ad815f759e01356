"""Greedy coverage of a pool of any size: exact up to a limit, then over an even sample."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices
from strategies.kernels.facility import Coverage, cover_by
from strategies.kernels.facility_dense import (
    edge_excess,
    excess,
    pick_on_demand,
    some_references,
)
from strategies.kernels.facility_rows import UnitRows
from strategies.kernels.facility_sample import distinct_rows, even_sample, inclusion, projection
from strategies.kernels.facility_sparse import pick_by_graph
from strategies.kernels.facility_values import Value

Doubles = npt.NDArray[np.float64]

# Of a sample at most such a part is picked before a new one is drawn, lest the picks fit the sample
# and not the pool: a quarter of the largest, less of a small one that stands for a bare pool.
SAMPLE_OVER_PICKS = 4
BARE_SAMPLE_OVER_PICKS = 32


@dataclass(frozen=True)
class CoverageProblem:
    """What is to be covered, by what.

    points    (n, d) rows of the pool; every one of them is a reference
    weights   (n,) float64 >= 0: u_j
    eligible  (e,) int64 ascending: the candidates
    labelled  (m, d) rows that cover already, or None
    mean      (d,) that is subtracted before rows are scaled to length 1, or None
    value     v(p) of the product of two such rows
    sample    of a pool with more different rows than this, so many stand for all
    device    "cpu" or a PyTorch device
    bare      likewise, while so little is covered that nearly every pair of rows could gain: the
              first picks come from so many, then from twice as many
    """

    points: Floats
    weights: Doubles
    eligible: Indices
    labelled: Floats | None
    mean: Doubles | None
    value: Value
    sample: int
    device: str
    bare: int


@dataclass(frozen=True)
class CoveragePicks:
    """The picks of a greedy run.

    indices  (size,) int64 rows of the pool, in the order of picking
    gains    (size,) float64: what each adds to sum_j u_j v_j / sum_j u_j
    covered  (size,) int64: how many items each covers better than all before it
    sampled  how many rows stood for the pool, at the fewest; 0 where all did
    """

    indices: Indices
    gains: Doubles
    covered: Indices
    sampled: int


def greedy_coverage(problem: CoverageProblem, size: int) -> CoveragePicks:
    """argmax_i sum_j u_j max(v(<z_i, z_j>) - v_j, 0), `size` times; v_j the best cover of j so far.

    Equal rows are one row with their weights added. Up to `sample` different rows, and up to `bare`
    while nearly every pair of them could gain, the picks are those of the plain float64 loop, equal
    gains to the item that is itself covered worst, then to the lowest index; once nothing gains any
    more, the rest of the batch comes in the order of the pool. Beyond, references and candidates
    are an even sample along a fixed projection, weighted by its inclusion probabilities' inverse
    (half even, half by u), drawn again for every quarter of it that is picked; a 32nd of the small
    ones.
    """
    distinct = distinct_rows(problem.points, problem.eligible)
    count = len(distinct.items)
    weights = np.zeros(count, dtype=np.float64)
    weights += np.bincount(distinct.group, weights=problem.weights, minlength=count)
    copies = np.bincount(distinct.group, minlength=count).astype(np.float64)
    allowed = np.zeros(len(problem.points), dtype=np.bool_)
    allowed[problem.eligible] = True
    is_open = allowed[distinct.items]
    size_left = min(size, int(is_open.sum()))
    indices: list[Indices] = []
    gains: list[Doubles] = []
    covered: list[Indices] = []
    order: Indices = np.arange(count, dtype=np.int64)
    most = min(count, problem.sample)
    bare = min(most, problem.bare)
    fewest = count
    if bare < count:
        order = np.argsort(projection(problem.points, problem.mean)[distinct.items], kind="stable")
    while size_left > 0:
        looked_at = _rows_to_look_at(
            problem, distinct.items, order, weights, is_open, indices, bare
        )
        fewest = min(fewest, looked_at)
        if looked_at == count:
            run = _run(problem, distinct.items, weights, copies, is_open, indices, size_left)
            _append(run, distinct.items, indices, gains, covered)
            break
        over = SAMPLE_OVER_PICKS if looked_at == most else BARE_SAMPLE_OVER_PICKS
        round_size = min(size_left, max(1, looked_at // over))
        probability = inclusion(weights, looked_at)
        sampled = even_sample(order, probability)
        chosen = sampled
        if int(is_open[chosen].sum()) < min(4 * round_size, int(is_open.sum())):
            chosen = _with_open(order, chosen, is_open, weights, looked_at)
        scale = np.zeros(count)
        scale[sampled] = 1.0 / probability[sampled]
        run = _run(
            problem,
            distinct.items[chosen],
            (weights * scale)[chosen],
            (copies * scale)[chosen],
            is_open[chosen],
            indices,
            round_size,
        )
        is_open[chosen[run.picks]] = False
        _append(run, distinct.items[chosen], indices, gains, covered)
        if not run.picks:
            break
        size_left -= len(run.picks)
        bare = min(most, 2 * bare)
    return _finished(problem, size, indices, gains, covered, fewest if fewest < count else 0)


def _with_open(
    order: Indices, chosen: Indices, is_open: npt.NDArray[np.bool_], weights: Doubles, sample: int
) -> Indices:
    """The sample and, for want of candidates in it, an even sample of those that are open."""
    mine = order[is_open[order]]
    positions = np.arange(len(mine))
    more = mine[even_sample(positions, inclusion(weights[mine], sample))]
    return np.union1d(chosen, more)


def _run(
    problem: CoverageProblem,
    items: Indices,
    weights: Doubles,
    stands_for: Doubles,
    is_open: npt.NDArray[np.bool_],
    before: list[Indices],
    size: int,
) -> Coverage:
    rows = _unit_rows(problem, items)
    covered = _cover(problem, rows, before)
    state = Coverage(
        rows, is_open.copy(), weights, stands_for, covered, problem.value, problem.device
    )
    size = min(size, int(is_open.sum()))
    if edge_excess(state, _products_of(rows)) > 1.0:
        pick_on_demand(state, size)
    if len(state.picks) < size:
        pick_by_graph(state, size - len(state.picks))
    return state


def _rows_to_look_at(
    problem: CoverageProblem,
    items: Indices,
    order: Indices,
    weights: Doubles,
    is_open: npt.NDArray[np.bool_],
    before: list[Indices],
    bare: int,
) -> int:
    """`bare` while too much could gain for a larger sample's graph, else that sample's size."""
    most = min(len(items), problem.sample)
    if bare >= most:
        return most
    everything = np.arange(most, dtype=np.int64)
    chosen = everything if most == len(items) else even_sample(order, inclusion(weights, most))
    matter = chosen[weights[chosen] > 0.0]
    if not len(matter):
        return most
    some = _unit_rows(problem, items[some_references(matter)])
    thresholds = problem.value.products_of(_cover(problem, some, before))
    thresholds = np.asarray(thresholds, dtype=np.float64)
    mine = some.exact(np.arange(some.count))
    rows = _unit_rows(problem, items[chosen])

    def products(part: slice) -> Floats:
        found: Doubles = mine @ rows.exact(np.arange(part.start, part.stop)).T
        return found

    share = excess(products, thresholds, is_open[chosen], len(matter))
    return most if share <= 1.0 else bare


def _products_of(rows: UnitRows) -> Callable[[Indices, slice], Floats]:
    held: list[Doubles] = []

    def product(some: Indices, part: slice) -> Floats:
        if not held:
            held.append(rows.exact(some))
        found: Doubles = held[0] @ rows.exact(np.arange(part.start, part.stop)).T
        return found

    return product


def _unit_rows(problem: CoverageProblem, items: Indices) -> UnitRows:
    whole = len(items) == len(problem.points)
    return UnitRows(problem.points, None if whole else items, problem.mean)


def _cover(problem: CoverageProblem, rows: UnitRows, before: list[Indices]) -> Doubles:
    covered: Doubles = np.zeros(rows.count, dtype=np.float64)
    if problem.labelled is not None and len(problem.labelled):
        covered = cover_by(rows, problem.labelled, problem.value)
    for picked in before:
        np.maximum(covered, cover_by(rows, problem.points[picked], problem.value), out=covered)
    return covered


def _append(
    run: Coverage,
    items: Indices,
    indices: list[Indices],
    gains: list[Doubles],
    covered: list[Indices],
) -> None:
    indices.append(items[np.array(run.picks, dtype=np.int64)])
    gains.append(np.array(run.gains, dtype=np.float64))
    covered.append(np.array(run.counts, dtype=np.int64))


def _finished(
    problem: CoverageProblem,
    size: int,
    indices: list[Indices],
    gains: list[Doubles],
    covered: list[Indices],
    sampled: int,
) -> CoveragePicks:
    picked = np.concatenate([np.empty(0, dtype=np.int64), *indices])
    # Nothing more gains: what is left comes in the order of the pool.
    rest = problem.eligible[~np.isin(problem.eligible, picked)][: size - len(picked)]
    total = float(problem.weights.sum())
    share = np.concatenate([np.empty(0), *gains]) / (total if total > 0.0 else 1.0)
    return CoveragePicks(
        np.concatenate([picked, rest]),
        np.concatenate([share, np.zeros(len(rest))]),
        np.concatenate([np.empty(0, dtype=np.int64), *covered, np.zeros(len(rest), np.int64)]),
        sampled,
    )
