"""Which labels train the next model, and which measure first.

Hold-outs never train. A label of the random control trains `control_rounds` rounds after it scored
a model that had not seen it, and not before all of its group have: a model that knows one slice of
a patient knows the others. A strategy's pick that validates trains `rolling_rounds` rounds after it
was queued. What is the same as a hold-out, or of its group, never trains.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.config import QueueConfig, parse_config
from backend.rounds import queue
from backend.rounds.answered_prefix import answered_tasks
from backend.rounds.numbering import living_members
from backend.rounds.rules import read_rule_book
from backend.store.evaluation_tables import ControlScore, SplitMember
from backend.store.tables import Label, Pick, Project, Task, TrainingManifest


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
    """Control tasks whose label has measured long enough, or came when there was no model, and
    whose whole group is done: what is still to be asked or to measure holds its group back.
    """
    measured: set[int] = set()
    measuring: set[int] = set()
    for score in session.scalars(
        sa.select(ControlScore).where(ControlScore.project_id == project.id)
    ):
        done = score.predicted is None or score.round < round_number - config.control_rounds
        (measured if done else measuring).add(score.task_id)
    groups: dict[float, list[int]] = defaultdict(list)
    empty: set[int] = set()
    columns = (SplitMember.task_id, SplitMember.u, Task.content_hash)
    for row in session.execute(living_members(project, "control", *columns)):
        groups[row.u].append(row.task_id)
        if row.content_hash is None:
            empty.add(row.task_id)
    labelled = set(
        session.scalars(
            sa.select(Label.task_id).where(Label.project_id == project.id, Label.status != "none")
        )
    )
    never = empty | queue.failed_tasks(session, project.id)
    never |= read_rule_book(session, project.id).excluded
    # Asked and without a label in the end (skipped, submitted empty) a task measures nothing.
    closed = (measured | never | (answered_tasks(session, project) - labelled)) - measuring
    # What the model in force knows already stays known: a later slice of it scores nothing.
    manifest = session.get(TrainingManifest, (project.id, project.model_round))
    known = {int(member[0]) for member in manifest.members} if manifest else set()
    return {
        task
        for tasks in groups.values()
        if closed.issuperset(tasks) or known.intersection(tasks)
        for task in measured.intersection(tasks)
    }
