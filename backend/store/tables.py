"""The state's tables. Label Studio owns tasks and annotations; these rows mirror what was read."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Row counters past 2**31 are thinkable in a large installation; SQLite counts only in INTEGER keys.
BigKey = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Base of every table."""

    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class Installation(Base):
    """This installation's own name, which its version strings carry."""

    __tablename__ = "installation"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[float] = mapped_column(Float)


class Project(Base):
    """A Label Studio project that AskNext drives.

    `state` is `active`, `paused`, `disconnected` or `archived` (Label Studio answered 404).
    """

    __tablename__ = "project"
    __table_args__ = (UniqueConstraint("label_studio_url", "label_studio_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    label_studio_url: Mapped[str] = mapped_column(String(500))
    label_studio_id: Mapped[int]
    title: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(20), default="active")
    created_at: Mapped[float] = mapped_column(Float)
    secret: Mapped[bytes] = mapped_column(LargeBinary(32))

    label_config: Mapped[str] = mapped_column(Text, default="")
    schema_number: Mapped[int] = mapped_column(default=0)
    kind: Mapped[str | None] = mapped_column(String(10))
    control: Mapped[str | None] = mapped_column(Text)
    object_name: Mapped[str | None] = mapped_column(Text)
    data_key: Mapped[str | None] = mapped_column(Text)
    classes: Mapped[list[Any]] = mapped_column(default=list)

    config: Mapped[dict[str, Any]] = mapped_column(default=dict)

    cursor: Mapped[str | None] = mapped_column(String(40))
    first_synced_at: Mapped[float | None] = mapped_column(Float)
    last_synced_at: Mapped[float | None] = mapped_column(Float)
    recounted_at: Mapped[float | None] = mapped_column(Float)
    total: Mapped[int] = mapped_column(default=0)
    rules_read_at: Mapped[float | None] = mapped_column(Float)
    rules_changed_at: Mapped[float | None] = mapped_column(Float)
    stable_total: Mapped[int | None]
    stable_total_at: Mapped[float | None] = mapped_column(Float)
    label_changes: Mapped[int] = mapped_column(default=0)
    era: Mapped[int] = mapped_column(default=0)
    holdout_drawn_at: Mapped[float | None] = mapped_column(Float)

    round_number: Mapped[int] = mapped_column(default=0)
    round_label_changes: Mapped[int] = mapped_column(default=0)
    model_round: Mapped[int] = mapped_column(default=0)
    queue_version: Mapped[str | None] = mapped_column(String(80))
    queue_attempt: Mapped[int] = mapped_column(default=0)
    exhausted_inputs: Mapped[str | None] = mapped_column(String(64))

    backend_id: Mapped[int | None]
    webhook_id: Mapped[int | None]
    view_id: Mapped[int | None]
    polls: Mapped[bool] = mapped_column(Boolean, default=False)
    restore: Mapped[dict[str, Any]] = mapped_column(default=dict)
    overlap: Mapped[int] = mapped_column(default=1)
    paused_overlap: Mapped[int | None]
    pause_reason: Mapped[str | None] = mapped_column(Text)
    followed_advice: Mapped[list[Any]] = mapped_column(default=list)

    last_error: Mapped[str | None] = mapped_column(Text)
    last_error_at: Mapped[float | None] = mapped_column(Float)


class Work(Base):
    """What is asked of the workers for one project, and who is doing it (design: coalescing).

    `kind` is `sync`, `round` or `embed`. More was asked for than done while `requested > done`.
    """

    __tablename__ = "work"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    requested: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    enqueued_at: Mapped[float | None] = mapped_column(Float)
    promoted: Mapped[bool] = mapped_column(Boolean, default=False)
    owner: Mapped[str | None] = mapped_column(String(40))
    lease_until: Mapped[float | None] = mapped_column(Float)
    fence: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[float] = mapped_column(Float, default=0.0)
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    updated_at: Mapped[float | None] = mapped_column(Float)


class Task(Base):
    """A task of the project; `u` is its permanent random number, `content_hash` its content's.

    `fields` are the short scalar values of its data beside the content: metadata and groups.
    """

    __tablename__ = "task"
    __table_args__ = (Index("task_by_content", "project_id", "content_hash"),)

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    value: Mapped[str | None] = mapped_column(Text)
    fields: Mapped[dict[str, Any] | None]
    group_key: Mapped[str | None] = mapped_column(Text)
    u: Mapped[float] = mapped_column(Float)
    role_era: Mapped[int | None]
    deleted_at: Mapped[float | None] = mapped_column(Float)


class ContentFailure(Base):
    """A task whose content could not be read or embedded; retried after `retry_at`."""

    __tablename__ = "content_failure"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    message: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(default=1)
    retry_at: Mapped[float] = mapped_column(Float)


class Annotation(Base):
    """One annotation as last read; `choice` is None where it is empty or not a single choice."""

    __tablename__ = "annotation"
    __table_args__ = (Index("annotation_by_task", "project_id", "task_id"),)

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    annotation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_id: Mapped[int]
    completed_by: Mapped[int | None]
    choices: Mapped[dict[str, Any]] = mapped_column(default=dict)
    cancelled: Mapped[bool] = mapped_column(Boolean, default=False)
    ground_truth: Mapped[bool] = mapped_column(Boolean, default=False)
    lead_time: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[str] = mapped_column(String(40))
    updated_at: Mapped[str] = mapped_column(String(40))
    deleted_at: Mapped[float | None] = mapped_column(Float)


class Label(Base):
    """The label of a task, derived from its annotations; `status` is settled, tie or none."""

    __tablename__ = "label"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    label: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(10))
    votes: Mapped[int] = mapped_column(default=0)
    agreement: Mapped[float | None] = mapped_column(Float)
    changed_at: Mapped[float] = mapped_column(Float)


class LabelChange(Base):
    """The history of a task's label: one row for each change, never rewritten."""

    __tablename__ = "label_change"
    __table_args__ = (Index("label_change_by_task", "project_id", "task_id"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    task_id: Mapped[int]
    schema_number: Mapped[int]
    label: Mapped[str | None] = mapped_column(Text)
    previous: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(10))
    at: Mapped[float] = mapped_column(Float)


class Pick(Base):
    """One task chosen for one position of a published window.

    `ordinal` counts the project's queue positions for ever, so that what was drawn for a position
    (random, hold-out or strategy) is never drawn again; `position` is the score in Label Studio.
    `state` is `staged` (chosen, not yet in force), `queued`, `resolved` (annotated or skipped),
    `superseded` (by a later window) or `dropped` (deleted or refused).
    """

    __tablename__ = "pick"
    __table_args__ = (
        Index("pick_by_state", "project_id", "state"),
        Index("pick_by_task", "project_id", "task_id"),
        UniqueConstraint("project_id", "version", "position"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    version: Mapped[str] = mapped_column(String(80))
    position: Mapped[int]
    ordinal: Mapped[int]
    round: Mapped[int]
    task_id: Mapped[int]
    family: Mapped[str] = mapped_column(String(12))
    branch: Mapped[str] = mapped_column(Text)
    score: Mapped[float | None] = mapped_column(Float)
    blind: Mapped[bool] = mapped_column(Boolean)
    probability: Mapped[float | None] = mapped_column(Float)
    rolling: Mapped[bool] = mapped_column(Boolean, default=False)
    details: Mapped[dict[str, Any] | None]
    state: Mapped[str] = mapped_column(String(12))
    created_at: Mapped[float] = mapped_column(Float)
    resolved_at: Mapped[float | None] = mapped_column(Float)


class HandRule(Base):
    """A Data Manager tab whose title makes it a rule: `kind` is pin, exclude or boost.

    `digest` is that of its title and filters, `weight` a boost's, `matched` how many tasks it found
    when it was read; `error` says why it could not be.
    """

    __tablename__ = "hand_rule"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    view_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(10))
    weight: Mapped[float] = mapped_column(Float, default=1.0)
    title: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    matched: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    read_at: Mapped[float] = mapped_column(Float)


class HandRuleTask(Base):
    """A task that a rule by hand matched when it was last read."""

    __tablename__ = "hand_rule_task"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    view_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Round(Base):
    """One round: what it saw, chose and measured. `state` is running, done, failed or abandoned."""

    __tablename__ = "round"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(12), default="running")
    stage: Mapped[str] = mapped_column(String(12), default="sync")
    model_version: Mapped[str | None] = mapped_column(String(80))
    queue_version: Mapped[str | None] = mapped_column(String(80))
    strategy: Mapped[str] = mapped_column(Text, default="")
    note: Mapped[str | None] = mapped_column(Text)
    labelled: Mapped[int] = mapped_column(default=0)
    trained_on: Mapped[int] = mapped_column(default=0)
    label_changes: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[float] = mapped_column(Float)
    finished_at: Mapped[float | None] = mapped_column(Float)
    seconds: Mapped[dict[str, Any]] = mapped_column(default=dict)
    peak_megabytes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None] = mapped_column(Text)


class TrainingManifest(Base):
    """Which tasks, with which labels, trained a round's model."""

    __tablename__ = "training_manifest"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    round: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    members: Mapped[list[Any]] = mapped_column()
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[float] = mapped_column(Float)


class ConfigChange(Base):
    """The history of a project's configuration, refusals included."""

    __tablename__ = "config_change"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    source: Mapped[str] = mapped_column(String(20))
    digest: Mapped[str] = mapped_column(String(64))
    document: Mapped[dict[str, Any]] = mapped_column(default=dict)
    accepted: Mapped[bool] = mapped_column(Boolean)
    message: Mapped[str | None] = mapped_column(Text)
    at: Mapped[float] = mapped_column(Float)


class Event(Base):
    """Something that an admin would want to know: a setting restored, tasks that ran dry, …"""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    level: Mapped[str] = mapped_column(String(10))
    message: Mapped[str] = mapped_column(Text)
    at: Mapped[float] = mapped_column(Float)
