"""EPIG: label first what says most about the predictions that the model will be asked for."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import numpy.typing as npt

from strategies.arrays import BLOCK_ELEMENTS, Column, Floats, Indices, row_blocks
from strategies.errors import StrategyError
from strategies.kernels.information import entropies
from strategies.parameters import Interval
from strategies.picks import GAIN, Picks
from strategies.ranking import best_first
from strategies.uncertainty.bald import bald

# Numbers that the targets' predictions may hold: 512 MiB in float64.
LIMIT = 1 << 26


def epig(
    members: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    metadata: Mapping[str, Column] | None = None,
    *,
    n_targets: Annotated[int, Interval(least=1)] = 200,
    candidates: Annotated[int, Interval(least=1)] = 10_000,
    columns: tuple[str, ...] = (),
    levels: tuple[str, ...] = (),
) -> Picks:
    """The `size` items with the largest expected predictive information gain, in nats.

    EPIG(x) = 1/t sum_{x*} I(y; y* | x, x*)
            = 1/t sum_{x*} H(p(y)) + H(p(y*)) - H(p(y, y*)),
    p(y) = 1/k sum_j p_j(y|x),  p(y, y*) = 1/k sum_j p_j(y|x) p_j(y*|x*)

    x* runs over t targets: items as they will come in use. They are all rows of the pool where
    those are at most `n_targets`, else that many drawn by rng without replacement, the excluded
    rows among them, for they too are asked for. Where `columns` and `levels` are given, targets
    are drawn only from the rows whose metadata columns have those levels (recent production data,
    a rare slice). BALD asks how much an item's label says about the model, EPIG how much about
    these answers; an odd item that tells only about itself scores high by the first alone.

    Given the model y and y* are independent, so EPIG(x) <= BALD(x): items are looked at in
    descending order of BALD until none that is left can reach the batch. That is exact; only
    `candidates` gives an answer that is not, where it cuts the search short.

    members     (k, n, c), p_j(y|x) of member j = 1..k; with one member every score is 0
    eligible    (e,) int64; 1 <= size <= e
    metadata    {column: (n,)}, needed with `columns` only
    n_targets   t; the scores' error falls as t^(-1/2)
    candidates  at most the max(size, candidates) items of the highest BALD are looked at
    columns     names of metadata columns that targets are chosen by
    levels      one level for each of them, compared as text
    returns     the picks, highest first, and the detail gain EPIG(x) in nats, >= 0
    cost        O(k t c^2) an item looked at; memory k t c numbers and blocks

    Raises StrategyError where the targets' k t c numbers pass 2^26 (512 MiB), where columns and
    levels do not match each other or the metadata, and where no row has the levels.

    Source: Bickford Smith, Kirsch, Farquhar, Gal, Foster and Rainforth, Prediction-Oriented
    Bayesian Active Learning, AISTATS 2023 (arXiv 2304.08151), sections 4 and 5.
    """
    count, _, classes = members.shape
    rows = _target_rows(members.shape[1], metadata, columns, levels)
    if len(rows) > n_targets:
        rows = np.sort(rng.choice(rows, size=n_targets, replace=False))
    if count * len(rows) * classes > LIMIT:
        raise StrategyError(
            f"epig would keep {len(rows):,} targets of {count:,} members and {classes:,} classes, "
            f"more than {LIMIT:,} numbers; lower n_targets to at most "
            f"{LIMIT // (count * classes):,} or give fewer members"
        )
    targets = np.array(members[:, rows], dtype=np.float64, order="C")
    bounds = bald(members)
    order = best_first(bounds, eligible, max(size, candidates), rng)
    scores = np.full(members.shape[1], -np.inf)
    step = 256
    start = 0
    while start < len(order):
        looked_at = order[:start]
        if start >= size:
            reached = np.partition(scores[looked_at], start - size)[start - size]
            if bounds[order[start]] < reached:
                break
        some = order[start : start + step]
        # Rounding, too, keeps to the bound: exactly 0 where the members agree.
        scores[some] = np.minimum(information_about(members, some, targets), bounds[some])
        start += len(some)
    picked = best_first(scores, np.sort(order[:start]), size, rng)
    return Picks(picked, {GAIN: scores[picked]})


def information_about(
    members: Floats, items: Indices, targets: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The mean mutual information of each item's label with the targets' labels.

    members (k, n, c); items (r,); targets (k, t, c) float64; returns (r,) float64, >= 0
    """
    count, aims, classes = targets.shape
    gains = np.zeros(len(items))
    target_entropies = entropies(targets.mean(axis=0))
    for some in row_blocks(len(items), classes * max(count, classes)):
        block = np.array(members[:, items[some]], dtype=np.float64, order="C")
        flat = block.reshape(count, -1).T / count
        own = entropies(block.mean(axis=0))
        for aimed in row_blocks(aims, len(flat) * classes, 4 * BLOCK_ELEMENTS):
            aim = targets[:, aimed].reshape(count, -1)
            joint = flat @ aim
            logarithms = np.maximum(joint, np.finfo(np.float64).tiny)
            np.log(logarithms, out=logarithms)
            joint *= logarithms
            # Row sums over (items x classes): minus the joint entropies, summed over targets.
            negative = joint.sum(axis=1).reshape(-1, classes).sum(axis=1)
            wide = aimed.stop - aimed.start
            gains[some] += negative + wide * own + target_entropies[aimed].sum()
    gains /= aims
    return np.maximum(gains, 0.0, out=gains)


def _target_rows(
    n: int,
    metadata: Mapping[str, Column] | None,
    columns: tuple[str, ...],
    levels: tuple[str, ...],
) -> Indices:
    if len(columns) != len(levels):
        raise StrategyError(
            f"epig has {len(columns)} columns and {len(levels)} levels; give one level a column"
        )
    chosen = np.ones(n, dtype=np.bool_)
    for column, level in zip(columns, levels, strict=True):
        if metadata is None or column not in metadata:
            known = ", ".join(sorted(metadata or {})) or "none"
            raise StrategyError(
                f"epig takes its targets by column {column!r}, which the metadata lacks "
                f"(columns: {known}); give it as Pool(metadata=...) or leave columns out"
            )
        chosen &= np.asarray(metadata[column]).astype(np.str_) == level
    rows = np.flatnonzero(chosen).astype(np.int64)
    if not len(rows):
        described = ", ".join(f"{c} = {v}" for c, v in zip(columns, levels, strict=True))
        raise StrategyError(f"epig finds no row with {described} to take targets from")
    return rows
