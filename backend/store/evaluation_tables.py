"""The tables of honest evaluation: hold-outs, the random control and what it measured."""

from typing import Any

from sqlalchemy import Boolean, Float, ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.tables import Base


class HoldoutEra(Base):
    """The hold-outs of one era: the rule, what it drew, and its frozen manifest.

    `intervals` {stratum: {role: [low, high]}}; `manifest` the members of the test set and of
    validation (a) in order of their numbers, `digest` its SHA-256; `frames` the control's: how many
    tasks each part of its interval was drawn from. `reports` what was measured at the draw.
    """

    __tablename__ = "holdout_era"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    era: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    secret: Mapped[bytes] = mapped_column(LargeBinary(32))
    group_by: Mapped[str | None] = mapped_column(Text)
    strata: Mapped[list[Any]] = mapped_column(default=list)
    intervals: Mapped[dict[str, Any]] = mapped_column(default=dict)
    frames: Mapped[list[Any]] = mapped_column(default=list)
    manifest: Mapped[list[Any]] = mapped_column(default=list)
    digest: Mapped[str] = mapped_column(String(64))
    reports: Mapped[dict[str, Any]] = mapped_column(default=dict)
    looks: Mapped[int] = mapped_column(default=0)
    drawn_at: Mapped[float] = mapped_column(Float)


class SplitMember(Base):
    """A task with a role in an era: `test` and `validation` never train, `control` later.

    `late` members arrived after the draw: they are not in the manifest.
    """

    __tablename__ = "split_member"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    era: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    role: Mapped[str] = mapped_column(String(12))
    u: Mapped[float] = mapped_column(Float)
    late: Mapped[bool] = mapped_column(Boolean, default=False)
    drawn_at: Mapped[float] = mapped_column(Float)


class ControlScore(Base):
    """What the model in force said of a control task when its label came: before it trained on it.

    `round` is that model's, `predicted` None where there was none; `given` the probability of each
    class by name. `reserve_confidence` is its mean confidence, at that time, in the random tasks
    that nobody had labelled.
    """

    __tablename__ = "control_score"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    round: Mapped[int]
    predicted: Mapped[str | None] = mapped_column(Text)
    given: Mapped[dict[str, Any]] = mapped_column(default=dict)
    reserve_confidence: Mapped[float | None] = mapped_column(Float)
    scored_at: Mapped[float] = mapped_column(Float)


class ControlDraw(Base):
    """A random-control pick with the frame it was drawn from and its inclusion probability."""

    __tablename__ = "control_draw"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    ordinal: Mapped[int]
    round: Mapped[int]
    frame_size: Mapped[int]
    probability: Mapped[float] = mapped_column(Float)
    drawn_at: Mapped[float] = mapped_column(Float)
