"""The heads of many runs trained together: `backend.models.head.train_head`, batched.

The same objective, centring, penalties, folds and stopping rule, so that a run of a backtest has
the head that a live round would have. Two things differ, and change no optimum: the inputs lie
along the principal axes of the whole data set, found once, instead of each training set's, and
searches start from solutions nearby, those of the round before among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.backtest.softmax_batch import SoftmaxBatch
from backend.models.centring import norms
from backend.models.head import (
    DEFAULT_PENALTY,
    LABELS_FOR_CROSS_VALIDATION,
    PENALTIES,
    Head,
    folds_of,
)
from backend.models.softmax_regression import one_thread, principal_axes

_ROUGH, _EXACT = 1e-5, 1e-6
Floats = NDArray[np.float64]


class Rows:
    """All embeddings (n, d) of a data set as heads take them: unit length, on principal axes.

    `values` (n, d) float32 = x / |x| @ axes; `axes` (d, d) orthonormal.
    """

    def __init__(self, embeddings: NDArray[np.floating]) -> None:
        raw = np.asarray(embeddings, dtype=np.float32)
        unit = raw / norms(raw)
        centred = unit - unit.mean(axis=0)
        self.axes: Floats = np.linalg.eigh((centred.T @ centred).astype(np.float64))[1]
        self.values: NDArray[np.float32] = unit @ self.axes.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Trained:
    """A run's head, and what the next round's search starts from.

    `solution` (c, d + 1) and `path` (penalties, c, d + 1) act on rows: the head's, and the folds'
    mean at each penalty that was tried; NaN for the penalties that were not.
    """

    head: Head
    solution: Floats
    path: Floats | None


def train_heads(
    rows: Rows,
    labelled: Sequence[NDArray[np.int64]],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    previous: Sequence[Trained | None],
    seeds: Sequence[int],
) -> list[Trained]:
    """The head of each run k on the examples `labelled[k]` (m_k,), as `train_head` gives it.

    `labels` (n,) in 0..c-1 of all rows; `seeds` draw the folds; `previous` only starts the search.
    Runs with fewer than two classes among their labels get the smoothed priors.
    """
    names = tuple(classes)
    counts = [np.bincount(labels[picked], minlength=len(names)) for picked in labelled]
    teachable = [k for k, count in enumerate(counts) if (count > 0).sum() >= 2]
    found: list[Trained | None] = [None] * len(labelled)
    if teachable:
        with one_thread():
            trained = _Training(
                rows,
                [labelled[k] for k in teachable],
                labels,
                names,
                [previous[k] for k in teachable],
                [seeds[k] for k in teachable],
            ).result()
        for k, one in zip(teachable, trained, strict=True):
            found[k] = one
    width = rows.values.shape[1]
    empty = np.zeros((len(names), width + 1))
    result = []
    for k, count in enumerate(counts):
        weights = np.zeros((len(names), width), dtype=np.float32)
        prior = Head(names, weights, weights[:, 0].copy(), count.astype(np.int64))
        result.append(found[k] or Trained(prior, empty, None))
    return result


class _Training:
    """One round of several runs, each of which has two classes at least."""

    def __init__(
        self,
        rows: Rows,
        labelled: list[NDArray[np.int64]],
        labels: NDArray[np.int64],
        names: tuple[str, ...],
        previous: list[Trained | None],
        seeds: list[int],
    ) -> None:
        self._axes, self._names = rows.axes, names
        self._previous, self._seeds = previous, seeds
        self._lengths = [len(picked) for picked in labelled]
        longest = max(self._lengths)
        runs, width = len(labelled), rows.values.shape[1]
        # An optimum lies in the span of its inputs: of few examples that is a smaller space.
        self._own = longest < width
        width_here = longest if self._own else width
        self._turns = np.zeros((runs, width, width_here)) if self._own else None
        self._inputs = np.zeros((runs, longest, width_here), dtype=np.float32)
        self._labels = np.zeros((runs, longest), dtype=np.int64)
        self._centres = np.empty((runs, width))
        self._scales = np.empty(runs)
        for k, picked in enumerate(labelled):
            # As CentredInputs.of, with equal weights.
            chosen = rows.values[picked]
            centre = chosen.mean(axis=0, dtype=np.float64).astype(np.float32)
            chosen -= centre
            scale = float(np.sqrt((chosen**2).sum(axis=1).mean(dtype=np.float64))) or 1.0
            chosen /= np.float32(scale)
            if self._turns is not None:
                own = principal_axes(chosen)
                self._turns[k, :, : own.shape[1]] = own
                chosen = chosen @ self._turns[k].astype(np.float32)
            self._inputs[k, : len(picked)] = chosen
            self._labels[k, : len(picked)] = labels[picked]
            self._centres[k], self._scales[k] = centre, scale
        self._counts = np.array(
            [np.bincount(labels[picked], minlength=len(names)) for picked in labelled]
        )
        self._seen = self._counts > 0

    def result(self) -> list[Trained]:
        runs, classes = self._seen.shape
        penalties = np.full(runs, DEFAULT_PENALTY)
        losses: list[list[tuple[float, float]]] = [[] for _ in range(runs)]
        starts: Floats = np.zeros((runs, 1, classes, self._inputs.shape[2] + 1))
        paths: list[Floats | None] = [None] * runs
        for k, before in enumerate(self._previous):
            if before is not None:
                starts[k, 0] = self._on_inputs(before.solution, k)
        choosing = [
            k
            for k in range(runs)
            if self._lengths[k] >= LABELS_FOR_CROSS_VALIDATION and (self._counts[k] >= 2).sum() >= 2
        ]
        if choosing:
            self._choose(np.array(choosing), penalties, losses, starts, paths)
        ones = np.zeros((runs, 1, self._inputs.shape[1]))
        for k, length in enumerate(self._lengths):
            ones[k, 0, :length] = 1
        for tolerance, double in ((_ROUGH, False), (_EXACT, True)):
            batch = SoftmaxBatch(self._inputs, self._labels, self._seen, ones, double=double)
            starts = batch.solve(penalties, starts, tolerances=np.full(runs, tolerance))
        found = starts[:, 0]
        result = []
        for k in range(runs):
            solution = self._on_rows(found[k], k)
            weights = np.where(self._seen[k][:, None], solution[:, :-1] @ self._axes.T, 0)
            head = Head(
                self._names,
                weights.astype(np.float32),
                np.where(self._seen[k], solution[:, -1], 0).astype(np.float32),
                self._counts[k].astype(np.int64),
                float(penalties[k]),
                tuple(losses[k]),
            )
            result.append(Trained(head, solution, paths[k]))
        return result

    def _choose(
        self,
        choosing: NDArray[np.int64],
        penalties: Floats,
        losses: list[list[tuple[float, float]]],
        starts: Floats,
        paths: list[Floats | None],
    ) -> None:
        """Fill in, for the runs that choose, the penalty of least held-out loss.

        From strong to weak until a run's loss has risen twice running, as in a live round.
        """
        longest = self._inputs.shape[1]
        held_out = [folds_of(self._labels[k, : self._lengths[k]], self._seeds[k]) for k in choosing]
        most = max(len(folds) for folds in held_out)
        shares = np.zeros((len(choosing), most, longest))
        training = np.zeros((len(choosing), most, longest))
        for place, folds in enumerate(held_out):
            m = folds.shape[1]
            shares[place, : len(folds), :m] = folds
            training[place, : len(folds), :m] = ~folds
            training[place, len(folds) :, :m] = 1  # a fold that some runs lack holds out nothing
        batch = SoftmaxBatch(
            self._inputs[choosing], self._labels[choosing], self._seen[choosing], training
        )
        before = self._paths_before(choosing)
        for k in choosing:
            paths[k] = np.full((len(PENALTIES), starts.shape[2], len(self._axes) + 1), np.nan)
        best_losses = np.full(len(choosing), np.inf)
        solutions: Floats | None = None
        active: NDArray[np.int64] = np.arange(len(choosing))
        for step, penalty in enumerate(PENALTIES):
            start = _start(solutions, before[active], step)
            solved = batch.solve(
                np.full(len(active), penalty),
                start,
                tolerances=np.full(len(active), max(penalty / 10, 3e-6)),
                models=active,
            )
            every = batch.losses(solved, active) * shares[active]
            found = every.sum(axis=(1, 2)) / shares[active].sum(axis=(1, 2))
            going = []
            for row, place in enumerate(active.tolist()):
                k = int(choosing[place])
                real = len(held_out[place])
                mean = solved[row, :real].mean(axis=0)
                known = losses[k]
                known.append((penalty, float(found[row])))
                path = paths[k]
                assert path is not None
                path[step] = self._on_rows(mean, k)
                if found[row] < best_losses[place]:
                    best_losses[place] = found[row]
                    penalties[k] = penalty
                    starts[k, 0] = mean
                elif len(known) > 2 and known[-1][1] > known[-2][1] > known[-3][1]:
                    continue
                going.append(row)
            if not going:
                break
            active, solutions = active[going], solved[going]

    def _paths_before(self, choosing: NDArray[np.int64]) -> Floats:
        """(r, penalties, c, d + 1): the last round's path, on this round's inputs; NaN without."""
        width = self._inputs.shape[2] + 1
        found = np.full((len(choosing), len(PENALTIES), self._seen.shape[1], width), np.nan)
        for place, k in enumerate(choosing):
            before = self._previous[k]
            if before is not None and before.path is not None:
                found[place] = self._on_inputs(before.path, k)
        return found

    def _on_rows(self, parameters: Floats, run: int) -> Floats:
        """Parameters (..., c, d + 1) on rows, of those on a run's centred and scaled inputs."""
        weights = parameters[..., :-1] / self._scales[run]
        if self._turns is not None:
            weights = weights @ self._turns[run].T
        bias = parameters[..., -1] - weights @ self._centres[run]
        return np.concatenate([weights, bias[..., None]], axis=-1)

    def _on_inputs(self, parameters: Floats, run: int) -> Floats:
        """The way back."""
        weights, bias = parameters[..., :-1], parameters[..., -1]
        lifted = bias + weights @ self._centres[run]
        if self._turns is not None:
            weights = weights @ self._turns[run]
        return np.concatenate([weights * self._scales[run], lifted[..., None]], axis=-1)


def _start(solutions: Floats | None, before: Floats, step: int) -> Floats | None:
    """Where to start at a penalty: the folds' last solutions, moved as the last round's moved."""
    here = before[:, step]
    if solutions is None:
        return None if np.isnan(here).all() else np.nan_to_num(here)[:, None]
    moved = here - before[:, step - 1]
    return solutions + np.nan_to_num(moved)[:, None]
