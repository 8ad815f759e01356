"""Which labels train the next model, and which measure first.

Hold-outs never train. A label of the random control trains `control_rounds` rounds after it scored
a model that had not seen it; a strategy's pick that validates, `rolling_rounds` rounds after it was
queued. What is the same as a hold-out, or of its group, never trains.
"""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.config import QueueConfig, parse_config
from backend.rounds import queue
from backend.store.evaluation_tables import ControlScore
from backend.store.tables import Pick, Project


@dataclass(frozen=True)
class Withheld:
    """Tasks whose labels do not train now, by why.

    `holdouts` of any role that never trains; `control` and `rolling` train later.
    """

    holdouts: frozenset[int]
    control: frozenset[int]
    rolling: frozenset[int]

    def __contains__(self, task_id: int) -> bool:
        return any(task_id in part for part in (self.holdouts, self.control, self.rolling))


def withheld(session: Session, project: Project, round_number: int) -> Withheld:
    """What the model of this round must not have seen."""
    config = parse_config(project.config)
    roles = queue.roles(session, project)
    holdouts = frozenset(task for task, role in roles.items() if role != "control")
    control = {task for task, role in roles.items() if role == "control"}
    return Withheld(
        holdouts,
        frozenset(control - _released_control(session, project, config, round_number)),
        frozenset(rolling_validation(session, project, round_number) - holdouts - control),
    )


def rolling_validation(session: Session, project: Project, round_number: int) -> set[int]:
    """Validation set (b) at this round: blind picks of the strategy from the last rounds."""
    config = parse_config(project.config)
    return set(
        session.scalars(
            sa.select(Pick.task_id).where(
                Pick.project_id == project.id,
                Pick.rolling,
                # A label may be there before its position is known to be answered.
                Pick.state.in_(("queued", "resolved")),
                Pick.round >= round_number - config.rolling_rounds,
            )
        )
    )


def scored_control(
    session: Session, project: Project, round_number: int, tasks: Collection[int]
) -> list[ControlScore]:
    """Validation set (c) at this round: control labels of the last rounds, with their scores."""
    config = parse_config(project.config)
    found = session.scalars(
        sa.select(ControlScore).where(
            ControlScore.project_id == project.id,
            ControlScore.predicted.is_not(None),
            ControlScore.round >= round_number - config.control_rounds,
        )
    )
    wanted = set(tasks)
    return [score for score in found if score.task_id in wanted]


def _released_control(
    session: Session, project: Project, config: QueueConfig, round_number: int
) -> set[int]:
    """Control tasks whose label has measured long enough, or came when there was no model."""
    done = sa.or_(
        ControlScore.predicted.is_(None),
        ControlScore.round < round_number - config.control_rounds,
    )
    return set(
        session.scalars(
            sa.select(ControlScore.task_id).where(ControlScore.project_id == project.id, done)
        )
    )
