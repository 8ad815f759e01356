"""What the stages of one project's work share: its row, its client, its encoder and its model."""

import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from backend.config import QueueConfig, parse_config
from backend.errors import UnsupportedLabelConfigError
from backend.label_schema import LabelSchema
from backend.labelstudio import LabelStudio
from backend.models.artefact import DamagedModelError, Model, load_model
from backend.models.embedding_cache import EmbeddingCache
from backend.models.encoder import Encoder, load_encoder
from backend.models.input_properties import PropertyCache
from backend.rounds.schema import schema_of
from backend.rounds.specification import reads_properties, specification_of
from backend.settings import Settings
from backend.store.database import Database
from backend.store.tables import Project
from backend.tokens import load_token

logger = logging.getLogger(__name__)


@dataclass
class ProjectContext:
    """One project for the length of one job; reads the row anew whenever asked."""

    settings: Settings
    database: Database
    project_id: int
    _client: LabelStudio | None = field(default=None, repr=False)
    # What several stages of a job need and is dear to make, by what it was made from.
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)

    def project(self) -> Project:
        """The project's row as it is now."""
        with self.database.read() as session:
            return session.get_one(Project, self.project_id)

    @property
    def config(self) -> QueueConfig:
        """The configuration in force."""
        return parse_config(self.project().config)

    @property
    def schema(self) -> LabelSchema:
        """The label schema.

        Raises:
            UnsupportedLabelConfigError: the labelling config has nothing to learn.
        """
        project = self.project()
        schema = schema_of(project)
        if schema is None:
            raise UnsupportedLabelConfigError(
                project.last_error or "The labelling config has nothing that AskNext can learn."
            )
        return schema

    @cached_property
    def client(self) -> LabelStudio:
        """A client of the project's Label Studio."""
        if self._client is not None:
            return self._client
        url = self.project().label_studio_url
        return LabelStudio(url, load_token(self.settings, url))

    @cached_property
    def encoder(self) -> Encoder:
        """The project's encoder, loaded on first use."""
        return load_encoder(self.config.encoder, self.schema.kind)

    @cached_property
    def cache(self) -> EmbeddingCache:
        """The embeddings that exist for the project's encoder."""
        return EmbeddingCache(
            self.settings.embeddings_dir, self.encoder.fingerprint, self.encoder.dimension
        )

    @cached_property
    def properties(self) -> PropertyCache | None:
        """The measured properties of the contents; None where the strategy reads none."""
        schema = self.schema
        if not reads_properties(specification_of(self.config), schema.kind):
            return None
        return PropertyCache(
            self.settings.embeddings_dir,
            schema.kind,
            self.project_id,
            schema.data_key,
            self.project().total,
        )

    def model_dir(self, round_number: int) -> Path:
        """Where a round's model lies."""
        return self.settings.models_dir / str(self.project_id) / str(round_number)

    def live_model(self) -> Model | None:
        """The model of the last round; None before the first, or where it cannot be used.

        A model made with another encoder does not fit the embeddings; a damaged one is told of
        and left for the next round to replace.
        """
        number = self.project().model_round
        if number == 0 or not self.model_dir(number).exists():
            return None
        try:
            model = load_model(self.model_dir(number))
        except DamagedModelError as error:
            logger.warning("%s", error)
            return None
        return model if model.encoder_fingerprint == self.encoder.fingerprint else None

    def model_before(self, model: Model) -> Model | None:
        """The model of the round before this one's; None where there is none that compares."""
        number = int(model.metadata.get("round", 0)) - 1
        if number < 1 or not self.model_dir(number).exists():
            return None
        try:
            found = load_model(self.model_dir(number))
        except DamagedModelError as error:
            logger.warning("%s", error)
            return None
        fits = (
            found.encoder_fingerprint == model.encoder_fingerprint
            and found.classes == model.classes
        )
        return found if fits else None

    def close(self) -> None:
        """Close the connections that were opened."""
        if "client" in self.__dict__:
            self.client.close()
