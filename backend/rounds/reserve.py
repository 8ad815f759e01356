"""The reserve: random tasks that nobody has labelled, of which the model has an opinion.

Test, validation (a) and control are simple random samples of the pool that nothing trains on, so
that a model is as sure of their unlabelled members as it is of tasks that it does not know. That
makes the control's few labels go further (prediction-powered inference); the rest of the pool would
not do, for the strategy took from it what the model was least sure of.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from backend.models.artefact import Model
from backend.rounds.context import ProjectContext
from backend.rounds.embedded import embedded_tasks
from backend.rounds.named_test_set import named_test_set
from backend.store.evaluation_tables import SplitMember
from backend.store.tables import Label


@dataclass(frozen=True)
class Reserve:
    """Its tasks, the probability (n,) of what the model says of each, and the pool's size."""

    task_ids: list[int]
    confidence: npt.NDArray[np.float64]
    pool_size: int

    @property
    def mean(self) -> float | None:
        """The mean confidence, None where there is no task."""
        return float(self.confidence.mean()) if len(self.confidence) else None


def reserve(context: ProjectContext, model: Model) -> Reserve:
    """The reserve of the era in force, and how sure the model is of each of it.

    A test set that the admin named is no random sample; late members of the hold-outs are one of
    the late tasks alone.
    """
    with context.database.read() as session:
        project = context.project()
        roles = ["validation", "control"]
        if named_test_set(session, project) is None:
            roles.append("test")
        random = set(
            session.scalars(
                sa.select(SplitMember.task_id).where(
                    SplitMember.project_id == project.id,
                    SplitMember.era == project.era,
                    SplitMember.role.in_(roles),
                    sa.or_(SplitMember.role == "control", SplitMember.late.is_(False)),
                )
            )
        )
        random -= set(
            session.scalars(
                sa.select(Label.task_id).where(
                    Label.project_id == project.id, Label.status != "none"
                )
            )
        )
    pool = embedded_tasks(context)
    tasks = sorted(random & pool.keys())
    confidence = np.zeros(0)
    if tasks:
        embeddings = context.cache.get([pool[task] for task in tasks])
        confidence = model.probabilities(embeddings).max(axis=1).astype(np.float64)
    return Reserve(tasks, confidence, len(pool))
