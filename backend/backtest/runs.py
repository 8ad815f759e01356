"""Runs: for each strategy and seed a split, batches chosen, labelled and learnt from, in lockstep.

All runs of a batch take the same round at the same time, so that their heads are one optimisation.
Within a seed all strategies share the split and the random initial set. A strategy that needs a
model starts from that set, and so does `random`; another one chooses its first batch itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import strategies
from backend.backtest.choosing import chosen, pool_of
from backend.backtest.heads import Rows, Trained, train_heads
from backend.backtest.labelled_data import LabelledData
from backend.backtest.plan import RANDOM, Plan, Split, specification, split, validation_size
from backend.models.artefact import Model
from backend.models.calibration import fit_temperature
from backend.models.ensemble import train_ensemble
from backend.models.loss_head import train_loss_head


@dataclass(frozen=True)
class Run:
    """One curve to make: a strategy as it was written, and a seed."""

    strategy: Any
    seed: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run gave, from which every figure follows.

    test         (t,) rows of the data that tested it, ascending
    predictions  (p, t) the class predicted for each at each point of the plan
    picked       (budget,) rows in the order in which they were labelled
    filled       how many picks chance filled in for want of groups
    """

    test: NDArray[np.int64]
    predictions: NDArray[np.int64]
    picked: NDArray[np.int64]
    filled: int


class _State:
    """A run on its way."""

    def __init__(self, data: LabelledData, plan: Plan, run: Run, drawn: Split) -> None:
        self.run, self.split = run, drawn
        self._data, self._plan = data, plan
        self._specification = specification(run.strategy, data, plan)
        self._free = np.ones(len(drawn.pool), dtype=np.bool_)
        self.labelled: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.trained: Trained | None = None
        self._model: Model | None = None
        self._previous: Model | None = None
        self._predictions: list[NDArray[np.int64]] = []
        self._filled = 0

    def label(self, round_number: int) -> None:
        """Choose a batch and add its labels."""
        places: NDArray[np.int64]
        if round_number == 0 and self._starts_at_random:
            places = np.searchsorted(self.split.pool, self.split.initial).astype(np.int64)
        else:
            free = np.flatnonzero(self._free)
            rows = self.split.pool[free]
            pool = pool_of(
                self._data,
                self._specification,
                rows,
                self.labelled,
                self._model,
                self._previous,
            )
            seed = (self.run.seed, round_number, 0)
            picked, filled = chosen(pool, self._specification, self._plan.batch, seed)
            places = free[picked].astype(np.int64)
            self._filled += filled
        self._free[places] = False
        self.labelled = np.concatenate([self.labelled, self.split.pool[places]])

    def learn(self, trained: Trained) -> None:
        """Take the round's head: calibrate it, add what the strategy asks for, and test it."""
        data, head, seed = self._data, trained.head, self.run.seed
        temperature = 1.0
        if len(self.split.validation):
            rows = self.split.validation
            temperature = fit_temperature(head.logits(data.embeddings[rows]), data.labels[rows])
        asked = self._specification.needs | self._specification.uses
        embeddings, labels = data.embeddings[self.labelled], data.labels[self.labelled]
        ensemble = loss_head = None
        if "members" in asked:
            ensemble = train_ensemble(
                embeddings,
                labels,
                data.classes,
                head=head,
                members=self._plan.members,
                kind=self._plan.ensemble,
                seed=seed,
            )
        if "predicted_loss" in asked:
            loss_head = train_loss_head(embeddings, labels, head, seed=seed)
        self._previous = self._model
        self._model = Model(head, "", temperature, ensemble=ensemble, loss_head=loss_head)
        self.trained = trained
        predicted = head.logits(data.embeddings[self.split.test]).argmax(axis=1)
        self._predictions.append(predicted.astype(np.int64))

    def outcome(self) -> Outcome:
        """The whole run, once all rounds are done."""
        predictions = np.stack(self._predictions)
        return Outcome(self.split.test, predictions, self.labelled, self._filled)

    @property
    def _starts_at_random(self) -> bool:
        return self.run.strategy == RANDOM or self._specification.needs_model


def make_runs(
    data: LabelledData,
    plan: Plan,
    runs: Sequence[Run],
    rows: Rows | None = None,
    tell: Callable[[int], None] = lambda done: None,  # noqa: ARG005
) -> list[Outcome]:
    """The outcome of each run. `rows` are `Rows(data.embeddings)` where they are known already.

    `tell` gets the number of rounds finished, after each, of all runs together.
    Raises StrategyError with the strategy's name where one fails on this data.
    """
    rows = Rows(data.embeddings) if rows is None else rows
    splits: dict[int, Split] = {}
    for run in runs:
        if run.seed not in splits:
            splits[run.seed] = split(data, run.seed, validation_size(plan), plan.batch)
    states = [_State(data, plan, run, splits[run.seed]) for run in runs]
    for round_number in range(len(plan.points)):
        for state in states:
            try:
                state.label(round_number)
            except strategies.StrategyError as error:
                raise strategies.StrategyError(f"{state.run.strategy}: {error}") from error
        trained = train_heads(
            rows,
            [state.labelled for state in states],
            data.labels,
            data.classes,
            previous=[state.trained for state in states],
            seeds=[run.seed for run in runs],
        )
        for state, one in zip(states, trained, strict=True):
            state.learn(one)
        tell(len(states) * (round_number + 1))
    return [state.outcome() for state in states]
