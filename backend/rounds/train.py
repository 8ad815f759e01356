"""Training and measuring a round's model; its artefact and manifest are what later work reads."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.models.artefact import DamagedModelError, Model, load_model, save_model
from backend.models.ensemble import train_ensemble
from backend.models.head import train_head
from backend.models.loss_head import train_loss_head
from backend.rounds.context import ProjectContext
from backend.rounds.fields import read_fields
from backend.rounds.labels import labels_to_measure_by
from backend.rounds.leak_guard import LeakGuard, Reason
from backend.rounds.numbering import has_role_decided
from backend.rounds.specification import specification_of
from backend.rounds.training_set import withheld
from backend.store.projects import installation_name, model_version
from backend.store.tables import Label, Project, Task, TrainingManifest
from backend.store.work import Lease

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledTasks:
    """Settled labels with an embedding: ids, contents, (m, d) embeddings and class indices."""

    task_ids: list[int]
    hashes: list[bytes]
    embeddings: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]

    def of(self, kept: Sequence[bool]) -> "LabelledTasks":
        """Those that are kept."""
        rows = np.flatnonzero(kept)
        return LabelledTasks(
            [self.task_ids[row] for row in rows],
            [self.hashes[row] for row in rows],
            self.embeddings[rows],
            self.labels[rows],
        )


def training_tasks(context: ProjectContext, round_number: int) -> LabelledTasks:
    """The labelled and embedded tasks that train the model of this round, in order of id."""
    with context.database.read() as session:
        kept_back = withheld(session, context.project(), round_number)
    found = _labelled(context, lambda task_id: task_id not in kept_back)
    blocked = leaking(context, found)
    return found.of([not leak for leak in blocked]) if any(blocked) else found


def leaking(context: ProjectContext, tasks: LabelledTasks) -> list[Reason | None]:
    """Why each of these tasks is too close to a hold-out to train."""
    guard = LeakGuard.of(context)
    with context.database.read() as session:
        fields = read_fields(session, context.project_id) if guard.how.group_by else {}
    return guard.reasons(tasks.task_ids, fields, tasks.hashes, tasks.embeddings)


def labelled_tasks(context: ProjectContext, among: Collection[int]) -> LabelledTasks:
    """The labelled and embedded ones of these tasks, in order of id."""
    return _labelled(context, lambda task_id: task_id in among)


def measured_tasks(context: ProjectContext, among: Collection[int]) -> LabelledTasks:
    """Those of these tasks that a model can be measured on: disputed ones by the first opinion."""
    with context.database.read() as session:
        said = labels_to_measure_by(session, context.project())
    return _labelled(context, lambda task_id: task_id in among, said)


def _labelled(
    context: ProjectContext,
    wanted: Callable[[int], bool],
    said: Mapping[int, str] | None = None,
) -> LabelledTasks:
    """The wanted tasks by their settled labels, or by what was `said` of them."""
    classes = context.schema.classes
    with context.database.read() as session:
        rows = []
        for row in _labelled_rows(session, context.project_id):
            label = row.label if said is None else said.get(row.task_id)
            if label in classes and wanted(row.task_id):
                rows.append((row.task_id, row.content_hash, label))
    have = context.cache.contains([content for _, content, _ in rows])
    rows = [row for row, known in zip(rows, have, strict=True) if known]
    position = {name: index for index, name in enumerate(classes)}
    hashes = [content for _, content, _ in rows]
    dimension = context.encoder.dimension
    return LabelledTasks(
        [task_id for task_id, _, _ in rows],
        hashes,
        context.cache.get(hashes) if hashes else np.zeros((0, dimension), dtype=np.float32),
        np.array([position[label] for _, _, label in rows], dtype=np.int64),
    )


def train(context: ProjectContext, round_number: int, lease: Lease) -> tuple[Model, int]:
    """Train the round's head on every label that may train, starting from the last one.

    The manifest of what trained it is stored before the model is, so that no model exists without.
    Returns the model, not yet calibrated, and the number of labels that it was trained on.
    """
    # Read first: of hold-outs that are drawn from here on, the model may know members.
    era = context.project().era
    material = training_tasks(context, round_number)
    classes = context.schema.classes
    previous = context.live_model()
    head = train_head(
        material.embeddings,
        material.labels,
        classes,
        previous=previous.head if previous is not None else None,
        seed=context.config.seed,
    )
    members: list[Any] = [
        [task_id, classes[label]]
        for task_id, label in zip(material.task_ids, material.labels, strict=True)
    ]
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).hexdigest()
    with context.database.write() as session:
        lease.check(session)
        context.database.upsert(
            session,
            TrainingManifest,
            [
                {
                    "project_id": context.project_id,
                    "round": round_number,
                    "members": members,
                    "digest": digest,
                    "created_at": time.time(),
                }
            ],
        )
    asked = specification_of(context.config)
    asked_for = asked.needs | asked.uses
    ensemble = loss_head = None
    if "members" in asked_for:
        ensemble = train_ensemble(
            material.embeddings,
            material.labels,
            classes,
            head=head,
            members=context.config.members,
            kind=context.config.ensemble,
            seed=context.config.seed,
        )
    if "predicted_loss" in asked_for:
        loss_head = train_loss_head(
            material.embeddings, material.labels, head, seed=context.config.seed
        )
    model = Model(
        ensemble=ensemble,
        loss_head=loss_head,
        head=head,
        encoder_fingerprint=context.encoder.fingerprint,
        metadata={
            "round": round_number,
            "version": model_version(installation_name(context.database), round_number),
            "manifest": digest,
            "era": era,
            "encoder": context.encoder.name,
        },
    )
    return model, len(members)


def store_model(context: ProjectContext, model: Model, round_number: int) -> None:
    """Write the round's artefact, whole or not at all."""
    save_model(context.model_dir(round_number), model)


def stored_model(context: ProjectContext, round_number: int) -> Model | None:
    """The artefact of a round that was interrupted later; None where it is to be trained.

    A model of an older era may have trained on hold-outs of this one.
    """
    folder = context.model_dir(round_number)
    if not folder.exists():
        return None
    try:
        model = load_model(folder)
    except DamagedModelError as error:
        logger.warning("%s", error)
        return None
    fits = (
        model.encoder_fingerprint == context.encoder.fingerprint
        and tuple(model.head.classes) == context.schema.classes
        and model.metadata.get("era") == context.project().era
    )
    return model if fits else None


def _labelled_rows(session: Session, project_id: int) -> Sequence[Any]:
    """Without the tasks that came just now: whether they are held out is not decided yet."""
    decided = has_role_decided(session.get_one(Project, project_id))
    return session.execute(
        sa.select(Label.task_id, Label.label, Task.content_hash)
        .join(Task, sa.and_(Task.project_id == Label.project_id, Task.task_id == Label.task_id))
        .where(
            Label.project_id == project_id,
            Label.status != "none",
            Task.deleted_at.is_(None),
            Task.content_hash.is_not(None),
            decided,
        )
        .order_by(Label.task_id)
    ).all()
