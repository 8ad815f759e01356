"""Answering `/predict`: one result a task, from the cache where the content is known."""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from backend.errors import AskNextError
from backend.label_schema import LabelSchema, parse_label_config
from backend.models.artefact import Model
from backend.models.embedding_cache import EmbeddingCache
from backend.models.embedding_pipeline import embed_slice
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.mirror import task_value
from backend.settings import Settings
from backend.store.database import ROWS_A_STATEMENT, Database
from backend.store.projects import installation_name, model_version
from backend.store.tables import Label, Pick, Project
from backend.tokens import load_token

logger = logging.getLogger(__name__)

# Of these one embeds; the others are answered from the cache, or wait.
REQUESTS_AT_ONCE = 4

Prediction = dict[str, Any]
Task = tuple[int | None, dict[str, Any]]


@dataclass
class _Loaded:
    """A project's encoder, cache and model, kept while the model's round is the live one."""

    context: ProjectContext
    model: Model | None
    key: tuple[Any, ...]


class Predictor:
    """Predicts for every project of the installation; safe to use from several threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._loaded: dict[int, _Loaded] = {}
        self._lock = threading.Lock()
        # One request embeds at a time: two at once would only slow each other down.
        self._encoding = threading.Lock()
        # Predictions have threads of their own: while some embed for seconds and others wait for
        # them, `/setup` and `/webhook` must be answered.
        self.threads = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="predict")

    def predict(
        self, project: Project, tasks: Sequence[Task], label_config: str | None
    ) -> list[Prediction]:
        """Exactly one prediction a task, in their order, valid against the labelling config.

        Unknown content is embedded for a limited time; what is left then, everything before a
        model exists, and unlabelled blind tasks get an empty result under the version of no model,
        so that Label Studio asks again.
        """
        name = installation_name(self._database)
        nothing: Prediction = {
            "result": [],
            "score": None,
            "model_version": model_version(name, 0),
        }
        answers = [dict(nothing) for _ in tasks]
        loaded = self._load(project)
        model = loaded.model
        if model is None or not tasks:
            return answers
        schema = self._schema(project, label_config)
        blind = self._blind_tasks([number for number, _ in tasks if number is not None], project)
        wanted = [
            (index, number, value)
            for index, (number, data) in enumerate(tasks)
            if number not in blind
            and (value := task_value(data, schema.data_key)).content_hash is not None
        ]
        hashes = [value.content_hash or b"" for _, _, value in wanted]
        known = self._known(loaded.context, hashes)
        missing = [item for item, have in zip(wanted, known, strict=True) if not have]
        if missing:
            self._embed(
                loaded.context,
                [(number, value.content_hash, value.value) for _, number, value in missing],
            )
            known = self._known(loaded.context, hashes)
        kept = [position for position, have in enumerate(known) if have]
        if not kept:
            return answers
        with self._lock:
            embeddings = loaded.context.cache.get([hashes[position] for position in kept])
        probabilities = model.probabilities(embeddings)
        version = model_version(name, int(model.metadata["round"]))
        for row, position in enumerate(kept):
            answers[wanted[position][0]] = answer(
                probabilities[row], tuple(model.classes), schema, version, nothing
            )
        return answers

    def _load(self, project: Project) -> _Loaded:
        key = (
            project.model_round,
            project.config.get("encoder"),
            project.kind,
            project.schema_number,
            # Images are read with the token, which a new `connect` may have changed.
            load_token(self._settings, project.label_studio_url)
            if project.kind == "image"
            else None,
        )
        with self._lock:
            loaded = self._loaded.get(project.id)
            if loaded is None or loaded.key != key:
                context = ProjectContext(self._settings, self._database, project.id)
                loaded = _Loaded(context, context.live_model() if project.classes else None, key)
                self._loaded[project.id] = loaded
            return loaded

    def _schema(self, project: Project, label_config: str | None) -> LabelSchema:
        text = label_config or project.label_config
        return parse_label_config(text, project.config.get("control"))

    def _known(self, context: ProjectContext, hashes: list[bytes]) -> npt.NDArray[np.bool_]:
        if not hashes:
            return np.zeros(0, dtype=bool)
        with self._lock:
            found = np.asarray(context.cache.contains(hashes), dtype=bool)
            if not found.all():
                context.cache.refresh()
                found = np.asarray(context.cache.contains(hashes), dtype=bool)
            return found

    def _embed(
        self,
        context: ProjectContext,
        missing: Sequence[tuple[int | None, bytes | None, str | None]],
    ) -> None:
        """Embed for at most the configured seconds, waiting for another request included."""
        until = time.monotonic() + self._settings.predict_seconds
        if not self._encoding.acquire(timeout=self._settings.predict_seconds):
            return
        try:
            image = context.encoder.kind == "image"

            def contents() -> Any:
                for number, key, value in missing:
                    if time.monotonic() >= until:
                        return
                    if not image:
                        yield key, value
                        continue
                    try:
                        yield key, context.client.media(str(value), number)
                    except AskNextError as error:
                        logger.warning("A task's image cannot be read: %s", error)

            # A cache serves one thread at a time: this one is the embedding thread's own.
            cache = EmbeddingCache(
                self._settings.embeddings_dir,
                context.encoder.fingerprint,
                context.encoder.dimension,
            )
            embed_slice(context.encoder, cache, contents(), max(until - time.monotonic(), 0.1))
        finally:
            self._encoding.release()

    def _blind_tasks(self, task_ids: list[int], project: Project) -> set[int]:
        """Tasks with a role, and others that were queued blind, that are not labelled yet."""
        with self._database.read() as session:
            blind = set(queue.roles(session, project))
            for start in range(0, len(task_ids), ROWS_A_STATEMENT):
                blind |= set(
                    session.scalars(
                        sa.select(Pick.task_id).where(
                            Pick.project_id == project.id,
                            Pick.blind,
                            Pick.task_id.in_(task_ids[start : start + ROWS_A_STATEMENT]),
                        )
                    )
                )
            asked = [task_id for task_id in set(task_ids) if task_id in blind]
            labelled: set[int] = set()
            for start in range(0, len(asked), ROWS_A_STATEMENT):
                labelled |= set(
                    session.scalars(
                        sa.select(Label.task_id).where(
                            Label.project_id == project.id,
                            Label.status == "settled",
                            Label.task_id.in_(asked[start : start + ROWS_A_STATEMENT]),
                        )
                    )
                )
        return set(asked) - labelled


def answer(
    probabilities: npt.NDArray[np.float32],
    classes: tuple[str, ...],
    schema: LabelSchema,
    version: str,
    nothing: Prediction,
) -> Prediction:
    """One task's prediction; the extra key carries what Label Studio has no field for."""
    best = int(probabilities.argmax())
    if classes[best] not in schema.classes:
        return dict(nothing)
    ordered = np.sort(probabilities)[::-1]
    positive = probabilities[probabilities > 0].astype(np.float64)
    return {
        "result": [schema.region(classes[best])],
        "score": float(ordered[0]),
        "model_version": version,
        "asknext": {
            "probabilities": {
                name: float(value) for name, value in zip(classes, probabilities, strict=True)
            },
            "entropy": float(-(positive * np.log(positive)).sum()),
            "margin": float(ordered[0] - ordered[1]),
            "least_confidence": float(1 - ordered[0]),
        },
    }
