"""How one project's queue is configured: one schema and one validator for every source."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

import strategies
from backend.errors import ConfigurationError

ENCODERS = ("auto", "minilm", "efficientnet-lite0", "static")
DEFAULT_HOLDOUT_RATE = 1 / 3


class NamedTestSet(BaseModel):
    """A test set that is there already: exactly one of the three ways to name it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ground_truth: Literal[True] | None = None
    tasks: tuple[int, ...] | None = Field(default=None, min_length=1)
    field: str | None = Field(default=None, min_length=1)
    value: str | int | float | bool | None = None

    @model_validator(mode="after")
    def _names_one(self) -> "NamedTestSet":
        if sum(way is not None for way in (self.ground_truth, self.tasks, self.field)) != 1:
            raise ValueError(
                'name the test set in one way: {"ground_truth": true}, {"tasks": [1, 2]} or '
                '{"field": "split", "value": "test"}'
            )
        if (self.field is None) != (self.value is None):
            raise ValueError("field and value go together")
        return self


class NamedReference(BaseModel):
    """Where the model will be used, as a sample: exactly one of the three ways to name it.

    A file is a name within the data folder's `references`: what is typed into Label Studio must not
    read any other file of the server.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str | None = Field(default=None, min_length=1)
    value: str | int | float | bool | None = None
    tab: str | None = Field(default=None, min_length=1)
    file: str | None = Field(default=None, min_length=1, max_length=200)

    @field_validator("file")
    @classmethod
    def _file_is_a_name(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith(".") or set(value) & set("/\\\0")):
            raise ValueError(
                "a file or folder inside `references` of the data folder is named without any path"
            )
        return value

    @model_validator(mode="after")
    def _names_one(self) -> "NamedReference":
        if sum(way is not None for way in (self.field, self.tab, self.file)) != 1:
            raise ValueError(
                'name the reference in one way: {"field": "site", "value": "B"}, '
                '{"tab": "Production"} or {"file": "production.csv"}'
            )
        if (self.field is None) != (self.value is None):
            raise ValueError("field and value go together")
        return self


class QueueConfig(BaseModel):
    """The configuration of a project's queue, as typed into Label Studio's extra params."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Any = Field(
        default="auto",
        description="How the pool is ranked: a name, or a combination (chain, mix, weight, …).",
    )
    batch_size: int = Field(
        default=50, ge=1, le=100_000, description="Picks in one batch, the unit of accounting."
    )
    random_share: float = Field(
        default=0.1, ge=0, le=1, description="Probability that a queue position is a random task."
    )
    accept_no_control: bool = Field(
        default=False,
        description="Allows `random_share: 0`: nothing then tells whether the strategy helps.",
    )
    retrain_every: int = Field(
        default=25, ge=1, description="New labels (hold-outs included) that start a round."
    )
    budget: int = Field(default=5000, ge=1, description="Annotations that you can pay for.")
    budget_hours: float | None = Field(
        default=None, gt=0, description="Hours of annotation that you can pay for."
    )
    window: int = Field(
        default=100, ge=4, le=100_000, description="Tasks published to Label Studio at a time."
    )
    preannotate: Literal["none", "queue"] = Field(
        default="none",
        description="`queue` shows the model's prediction with each queued task that is not blind.",
    )
    control: str | None = Field(
        default=None, description="The Choices tag to learn; needed when there are several."
    )
    group_by: str | None = Field(
        default=None,
        description="The field of `task.data` that names a task's group (patient, volume, video).",
    )
    group_limit: int = Field(
        default=1, ge=1, description="Most strategy picks of one group in a window (`group_by`)."
    )
    members: int = Field(
        default=10,
        ge=2,
        le=100,
        description="Models of the ensemble, where the strategy asks for one.",
    )
    ensemble: Literal["bootstrap", "dropout"] = Field(
        default="bootstrap",
        description="Members trained on resampled labels, or one head with random dropout.",
    )
    explain_field: str | None = Field(
        default=None,
        min_length=1,
        description="A field of `task.data` that tells annotators why a task is in the queue.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of every random choice of a strategy.")
    encoder: Literal["auto", "minilm", "efficientnet-lite0", "static"] = Field(
        default="auto", description="What turns a task's content into an embedding."
    )
    test_size: int | None = Field(
        default=None,
        ge=0,
        description="Tasks of the test set; null: for ±5 points (at most 20% of the budget).",
    )
    validation_size: int = Field(
        default=50, ge=0, description="Tasks of validation set (a) (at most 10% of the budget)."
    )
    test_set: NamedTestSet | None = Field(
        default=None,
        description="A test set that is there already: ground truth, task ids or a field's value.",
    )
    reference: NamedReference | None = Field(
        default=None,
        description="Where the model will be used: a field's value, a tab's tasks or a file.",
    )
    strata: tuple[str, ...] = Field(
        default=(),
        description="Fields of `task.data`: each of their values is held out in proportion.",
    )
    evaluation_cap: float = Field(
        default=0.3, ge=0, le=1, description="Most of the budget that evaluation may take."
    )
    on_failure: Literal["warn", "random"] = Field(
        default="warn",
        description="`random`: stratified random replaces a strategy that is seen to do harm.",
    )
    target_accuracy: float | None = Field(
        default=None, gt=0, lt=1, description="Accuracy at which no more labels are needed."
    )
    least_gain: float | None = Field(
        default=None,
        gt=0,
        description="Points of accuracy that 100 more labels must be able to gain.",
    )
    on_stop: Literal["advise", "pause"] = Field(
        default="advise", description="`pause` stops the stream once there is advice to stop."
    )
    near_duplicate_threshold: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Cosine from which a task is a hold-out's near-duplicate; null: by the data.",
    )
    control_rounds: int = Field(
        default=3,
        ge=1,
        description="Rounds for which random control labels measure before they train.",
    )
    double_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Part of the control that two people label, and all of the test set; 0: none.",
    )
    rolling_share: float = Field(
        default=0.05,
        ge=0,
        le=0.5,
        description="Part of the strategy's picks that validates, blind, before it trains.",
    )
    rolling_rounds: int = Field(
        default=3, ge=1, description="Rounds for which these picks validate before they train."
    )
    holdout_rate: float = Field(
        default=DEFAULT_HOLDOUT_RATE,
        ge=0,
        le=1,
        description="Share of queue positions that serve hold-out tasks until all are labelled.",
    )

    @field_validator("strategy")
    @classmethod
    def _strategy_parses(cls, value: Any) -> Any:
        strategies.parse(value)
        return value

    @model_validator(mode="after")
    def _test_fits(self) -> "QueueConfig":
        if self.random_share == 0 and not self.accept_no_control:
            raise ValueError(
                "random_share: 0 leaves nothing to compare the strategy with; give it a share such "
                "as 0.1, or set accept_no_control to true"
            )
        if 0 < self.random_share < 1 and self.random_share >= self.evaluation_cap:
            raise ValueError(
                "random_share alone takes all that evaluation_cap allows, and nothing is left for "
                "the test set; raise evaluation_cap above it"
            )
        if self.random_share + self.holdout_rate > 1 + 1e-9 and self.random_share < 1:
            raise ValueError(
                "random_share and holdout_rate together leave no place for the strategy; "
                "make their sum at most 1"
            )
        return self

    def digest(self) -> str:
        """A hash of the configuration with its defaults filled in."""
        return digest_of(self.model_dump(mode="json"))


def digest_of(document: Any) -> str:
    """SHA-256 of a JSON document, independent of key order and white space."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def parse_config(document: Any) -> QueueConfig:
    """Validate a configuration document (a mapping, JSON text, or nothing at all).

    Raises:
        ConfigurationError: the document is not valid; `path` names the first wrong field.
    """
    if document is None or document == "":
        document = {}
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError as error:
            raise ConfigurationError(
                "",
                f"the configuration is not valid JSON ({error}); write an object such as "
                '{"strategy": "margin"}',
            ) from None
    if not isinstance(document, dict):
        raise ConfigurationError(
            "", 'the configuration must be a JSON object such as {"strategy": "margin"}'
        )
    if "strategy" in document:
        try:
            strategies.parse(document["strategy"])
        except strategies.GrammarError as error:
            raise ConfigurationError(error.path or "strategy", error.message) from error
    try:
        return QueueConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(path, _explain(first)) from None


def _explain(detail: Any) -> str:
    """One line that says what is wrong with a field and how to mend it."""
    if detail["type"] == "extra_forbidden":
        known = ", ".join(QueueConfig.model_fields)
        return f"there is no such setting; the settings are {known}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    given = detail.get("input")
    return f"{message}, not {given!r}" if not isinstance(given, dict) else message
