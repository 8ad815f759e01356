"""What the strategies see: the state, the embeddings and the models as the arrays of a Pool."""

from typing import Any

import numpy as np
import numpy.typing as npt

import strategies
from backend.models.artefact import Model
from backend.rounds.context import ProjectContext
from backend.rounds.fields import Fields, column, groups, read_fields
from backend.rounds.rules import RuleBook
from backend.rounds.train import LabelledTasks, training_tasks

# Fields that are made from a task's content, which must be embedded for it.
CONTENT_FIELDS = frozenset(
    {"embeddings", "probabilities", "previous_probabilities", "members", "predicted_loss"}
)


# Of the predictions of all members, float32: 2 GB.
MOST_MEMBER_NUMBERS = 2**29


class Material:
    """Builds the pool of one choice; only what the strategy asks for is computed.

    `taken` are tasks that are in the queue already: their groups count towards the limit.
    """

    def __init__(
        self,
        context: ProjectContext,
        specification: strategies.Specification,
        model: Model | None,
        rules: RuleBook,
        taken: frozenset[int],
    ) -> None:
        self._context = context
        self.specification = specification
        self._fields = specification.needs | specification.uses
        readers = [leaf for leaf in specification.leaves() if "metadata" in leaf.strategy.uses]
        named = all(leaf.parameters.get("columns") for leaf in readers)
        self._columns = sorted(specification.columns) if named else []
        self._model = model
        self._rules = rules
        self._taken = taken
        self._config = context.config

    @property
    def reads_content(self) -> bool:
        """Whether a task must be embedded for this strategy."""
        return bool(self._fields & CONTENT_FIELDS)

    def pool(self, task_ids: npt.NDArray[np.int64], hashes: list[bytes]) -> strategies.Pool:
        """The pool of these tasks; `hashes` are their contents, embedded where they are needed."""
        asked = self._fields
        embeddings = self._context.cache.get(hashes) if self.reads_content else None
        labelled = None
        if asked & {"labelled_embeddings", "labels", "labelled_metadata"}:
            labelled = self._labelled()
        fields = self._task_fields()
        metadata, labelled_metadata = self._metadata(fields, task_ids, hashes, labelled)
        group_of, excluded = self._groups(fields, task_ids)
        pinned = self._rules.pins_among(task_ids)
        if excluded is not None and pinned is not None:
            excluded &= ~pinned  # what an admin says of one task goes before a limit for all
        return strategies.Pool(
            embeddings=embeddings if "embeddings" in asked else None,
            **self._predictions(embeddings),
            labelled_embeddings=None if labelled is None else labelled.embeddings,
            labels=None if labelled is None else labelled.labels,
            metadata=metadata,
            labelled_metadata=labelled_metadata,
            groups=group_of,
            excluded=excluded,
            pinned=pinned,
            weights=self._rules.weights_of(task_ids),
            size=len(task_ids),
        )

    def _labelled(self) -> LabelledTasks | None:
        """The labelled tasks, their classes numbered as the model's outputs are; None without any.

        Until the round after a change of the labelling config the model has the classes of before:
        a label of a class that it does not know is left out.
        """
        found = training_tasks(self._context, self._context.project().round_number + 1)
        classes = self._context.schema.classes
        if self._model is not None and self._model.classes != classes:
            place = {name: number for number, name in enumerate(self._model.classes)}
            numbers = np.array([place.get(name, -1) for name in classes], dtype=np.int64)
            labels = numbers[found.labels]
            kept = np.flatnonzero(labels >= 0)
            found = LabelledTasks(
                [found.task_ids[row] for row in kept],
                [found.hashes[row] for row in kept],
                found.embeddings[kept],
                labels[kept],
            )
        return found if len(found.labels) else None

    def _predictions(self, embeddings: npt.NDArray[np.float32] | None) -> dict[str, Any]:
        model, asked = self._model, self._fields
        if model is None or embeddings is None:
            return {}
        found: dict[str, Any] = {}
        if "probabilities" in asked:
            found["probabilities"] = model.probabilities(embeddings)
        if "members" in asked:
            self._check_memory(model, len(embeddings))
            found["members"] = model.members(embeddings)
        if "predicted_loss" in asked:
            found["predicted_loss"] = model.predicted_loss(embeddings)
        if "previous_probabilities" in asked:
            previous = self._context.model_before(model)
            if previous is not None:
                found["previous_probabilities"] = previous.probabilities(embeddings)
        return found

    @staticmethod
    def _check_memory(model: Model, count: int) -> None:
        """A worker that runs out of memory is killed, and would be again and again."""
        members = 0 if model.ensemble is None else len(model.ensemble)
        numbers = members * count * len(model.classes)
        if numbers > MOST_MEMBER_NUMBERS:
            raise strategies.StrategyError(
                f"{members} members for {count:,} tasks and {len(model.classes):,} classes take "
                f"{numbers * 4 / 2**30:.1f} GB; lower `members`, or use a strategy without them"
            )

    def _task_fields(self) -> Fields:
        reads_metadata = bool(self._fields & {"metadata", "labelled_metadata"})
        if not reads_metadata and not ("groups" in self._fields and self._config.group_by):
            return {}
        with self._context.database.read() as session:
            return read_fields(session, self._context.project_id)

    def _metadata(
        self,
        fields: Fields,
        task_ids: npt.NDArray[np.int64],
        hashes: list[bytes],
        labelled: LabelledTasks | None,
    ) -> tuple[dict[str, npt.NDArray[Any]] | None, dict[str, npt.NDArray[Any]] | None]:
        if "metadata" not in self._fields:
            return None, None
        names = self._columns or sorted({name for values in fields.values() for name in values})
        found = {
            name: values
            for name in names
            if (values := column(fields, task_ids.tolist(), name)) is not None
        }
        measured = self._context.properties
        properties = set() if measured is None else set(measured.names)
        if measured is not None:
            found |= measured.columns(hashes)
        if not found:
            return None, None
        if labelled is None:
            return found, None
        of_labelled = {
            name: values
            for name in found.keys() - properties
            if (values := column(fields, labelled.task_ids, name)) is not None
        }
        if measured is not None:
            of_labelled |= measured.columns(labelled.hashes)
        return found, of_labelled

    def _groups(
        self, fields: Fields, task_ids: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[Any] | None, npt.NDArray[np.bool_] | None]:
        """The groups, and the tasks whose group has its share of the queue already."""
        name = self._config.group_by
        if name is None or "groups" not in self._fields:
            return None, None
        found = groups(fields, task_ids.tolist(), name)
        queued = groups(fields, sorted(self._taken), name)
        names, counts = np.unique(queued, return_counts=True)
        full = names[counts >= self._config.group_limit]
        return found, np.isin(found, full)
