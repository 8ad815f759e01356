"""Ranking: from the state, the embeddings and the model to the strategy's choices."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

import strategies
from backend.models.artefact import Model
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.train import labelled_tasks
from backend.rounds.window import Choice
from backend.store.projects import record_event
from backend.store.tables import Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidates:
    """Tasks that the strategy may choose from; `hashes` are their contents."""

    task_ids: npt.NDArray[np.int64]
    hashes: list[bytes]


class Ranker:
    """The strategy of one project at one moment, ready to choose for a window.

    Without a model a strategy that needs one falls back to random choice; so does any strategy
    where nothing is embedded yet. `note` says so, and `seconds` how long choosing took.
    """

    def __init__(
        self, context: ProjectContext, model: Model | None, round_number: int, seed_offset: int = 0
    ) -> None:
        self._context = context
        self._model = model
        config = context.config
        specification = strategies.parse(config.strategy)
        self.note: str | None = None
        if model is None and specification.needs_model:
            self.note = "The strategy needs a model; what it would choose is random until then."
            specification = specification.without_model()
        self._specification = specification
        self._fields = specification.needs | specification.uses
        self._seed = (config.seed, round_number, seed_offset)
        self.seconds = 0.0

    def choose(self, count: int, taken: frozenset[int]) -> Sequence[Choice]:
        """The best `count` tasks outside `taken`, best first; fewer where the pool ends."""
        started = time.monotonic()
        try:
            return self._choose(count, taken)
        finally:
            self.seconds += time.monotonic() - started

    def _choose(self, count: int, taken: frozenset[int]) -> Sequence[Choice]:
        rng = np.random.default_rng(self._seed)
        candidates = self._candidates(taken)
        if not len(candidates.task_ids) or count < 1:
            return []
        if not self._fields:
            known: npt.NDArray[np.bool_] = np.ones(len(candidates.task_ids), dtype=bool)
        else:
            known = self._context.cache.contains(candidates.hashes)
        ids = candidates.task_ids[known]
        chosen: list[Choice] = []
        if len(ids):
            pool = self._pool([h for h, k in zip(candidates.hashes, known, strict=True) if k])
            selection = self._select(pool, min(count, len(ids)), rng)
            chosen = [
                Choice(int(ids[index]), branch, None if np.isnan(score) else float(score))
                for index, branch, score in zip(
                    selection.indices, selection.branches, selection.scores, strict=True
                )
            ]
        if len(chosen) < count and not known.all():
            # Better an item that nothing is known of than an empty queue.
            self.note = "Part of the window is random: the pool is still being embedded."
            rest = rng.permutation(candidates.task_ids[~known])[: count - len(chosen)]
            chosen += [Choice(int(task), "random (not embedded yet)", None) for task in rest]
        return chosen

    def _select(
        self, pool: strategies.Pool, count: int, rng: np.random.Generator
    ) -> strategies.Selection:
        """The strategy's selection; a random one where the strategy fails on this pool.

        An error here would stop the top-ups too, and Label Studio would serve tasks of its own.
        """
        try:
            return self._specification.select_with_branches(pool, count, rng)
        except Exception as error:
            logger.exception("The strategy failed; its picks are random.")
            self.note = (
                f"The strategy failed ({type(error).__name__}: {error}); what it would choose is "
                "random. Configure another one."
            )
            with self._context.database.write() as session:
                record_event(session, self._context.project_id, "error", self.note)
            return strategies.parse("random").select_with_branches(pool, count, rng)

    def labels_of(self, task_ids: Sequence[int]) -> dict[int, str]:
        """The model's label for tasks that are embedded; none without a model."""
        if self._model is None or not task_ids:
            return {}
        with self._context.database.read() as session:
            rows = session.execute(
                sa.select(Task.task_id, Task.content_hash).where(
                    Task.project_id == self._context.project_id,
                    Task.deleted_at.is_(None),
                    Task.content_hash.is_not(None),
                )
            ).all()
        wanted = set(task_ids)
        rows = [row for row in rows if row.task_id in wanted]
        have = self._context.cache.contains([row.content_hash for row in rows])
        rows = [row for row, known in zip(rows, have, strict=True) if known]
        if not rows:
            return {}
        probabilities = self._model.probabilities(
            self._context.cache.get([row.content_hash for row in rows])
        )
        best = probabilities.argmax(axis=1)
        classes = set(self._context.schema.classes)
        return {
            row.task_id: self._model.classes[index]
            for row, index in zip(rows, best, strict=True)
            if self._model.classes[index] in classes
        }

    def _candidates(self, taken: frozenset[int]) -> Candidates:
        with self._context.database.read() as session:
            project = self._context.project()
            rows = session.execute(
                sa.select(Task.task_id, Task.content_hash)
                .where(Task.project_id == project.id, Task.deleted_at.is_(None))
                .order_by(Task.task_id)
            ).all()
            closed = (
                annotated_task_ids(session, project.id)
                | queue.holdout_roles(session, project).keys()
                | queue.failed_tasks(session, project.id)
                | taken
            )
        open_rows = [row for row in rows if row.task_id not in closed]
        return Candidates(
            np.array([row.task_id for row in open_rows], dtype=np.int64),
            [row.content_hash or b"" for row in open_rows],
        )

    def _pool(self, hashes: list[bytes]) -> strategies.Pool:
        """Only what the strategy asks for is computed; the embeddings feed the model too."""
        if not self._fields:
            return strategies.Pool(size=len(hashes))
        embeddings = self._context.cache.get(hashes)
        probabilities = None
        if self._model is not None and "probabilities" in self._fields:
            probabilities = self._model.probabilities(embeddings)
        by_embedding = "embeddings" in self._fields
        labelled = labelled_tasks(self._context, [None]) if by_embedding else None
        known = labelled is not None and len(labelled.labels) > 0
        return strategies.Pool(
            embeddings=embeddings if by_embedding else None,
            probabilities=probabilities,
            labelled_embeddings=labelled.embeddings if labelled is not None and known else None,
            labels=labelled.labels if labelled is not None and known else None,
            size=len(hashes),
        )
