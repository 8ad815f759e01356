"""The published queue in the state: what is in force, what was answered, what can be queued."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from backend.evaluation.holdout import Role
from backend.rounds.answered_prefix import groups_in_order
from backend.rounds.evaluation_plan import evaluation_plan
from backend.rounds.inclusion import inclusion_probabilities
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.numbering import current_era, has_role_decided
from backend.rounds.rules import read_rule_book
from backend.rounds.skips import waiting_skips
from backend.rounds.window import Family, Position, Stock
from backend.store.database import ROWS_A_STATEMENT, Database
from backend.store.evaluation_tables import ControlDraw, HoldoutEra, SplitMember
from backend.store.tables import Annotation, ContentFailure, Pick, Project, Task


@dataclass(frozen=True)
class QueueState:
    """The queue of one project at one moment."""

    positions: list[Position]
    next_ordinal: int
    last_position: int


def current_queue(session: Session, project: Project) -> QueueState:
    """The unanswered positions of the version in force, in order.

    Where Label Studio lost that version, they are those of the last one: they still carry over.
    """
    queued = [Pick.project_id == project.id, Pick.state == "queued"]
    if project.queue_version is not None:
        queued.append(Pick.version == project.queue_version)
    picks = session.scalars(sa.select(Pick).where(*queued).order_by(Pick.position))
    positions = [
        Position(
            pick.ordinal,
            cast("Family", pick.family),
            pick.task_id,
            pick.branch,
            pick.score,
            pick.probability,
            pick.details or {},
            pick.rolling,
        )
        for pick in picks
    ]
    in_force = sa.select(Pick).where(Pick.project_id == project.id, Pick.state != "staged")
    next_ordinal = session.scalar(sa.select(sa.func.max(in_force.subquery().c.ordinal)))
    last_position = session.scalar(
        sa.select(sa.func.max(Pick.position)).where(
            Pick.project_id == project.id, Pick.version == (project.queue_version or "")
        )
    )
    return QueueState(
        positions,
        0 if next_ordinal is None else next_ordinal + 1,
        -1 if last_position is None else last_position,
    )


def resolve_answered(session: Session, project: Project) -> int:
    """Mark queued picks whose task was annotated, skipped or deleted; how many.

    Skips are not random: a task that chance chose stays queued after its first skip, for another
    annotator, until a second one skips it too or two more rounds have passed.
    """
    # Asked for each queued pick, of which there are few: the pool is never walked.
    annotations = (
        Annotation.project_id == project.id,
        Annotation.task_id == Pick.task_id,
        Annotation.deleted_at.is_(None),
    )
    of_chance = session.scalars(
        sa.select(Pick.task_id).where(
            Pick.project_id == project.id,
            Pick.family != "strategy",
            sa.or_(Pick.state == "queued", Pick.version == (project.queue_version or "")),
        )
    )
    waiting = waiting_skips(session, project).intersection(of_chance)
    answered = sa.or_(
        sa.exists().where(*annotations, Annotation.cancelled.is_(False)),
        sa.and_(
            sa.exists().where(*annotations),
            sa.or_(Pick.family == "strategy", Pick.task_id.not_in(waiting)),
        ),
    )
    gone = sa.exists().where(
        Task.project_id == project.id, Task.task_id == Pick.task_id, Task.deleted_at.is_not(None)
    )
    now = time.time()
    queued = (Pick.project_id == project.id, Pick.state == "queued")
    resolved = session.execute(
        sa.update(Pick)
        .where(*queued, answered)
        .values(state="resolved", resolved_at=now)
        .execution_options(synchronize_session=False)
    )
    # Who had opened a task before the window was switched answers after it: that pick was no less
    # the strategy's. What the new window holds too is answered there.
    before = (
        sa.select(Pick.version)
        .where(
            Pick.project_id == project.id,
            Pick.state != "staged",
            Pick.version != (project.queue_version or ""),
        )
        .order_by(Pick.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    again = aliased(Pick)
    late = session.execute(
        sa.update(Pick)
        .where(
            Pick.project_id == project.id,
            Pick.state == "superseded",
            Pick.version == before,
            sa.exists().where(*annotations, Annotation.cancelled.is_(False)),
            ~sa.exists().where(
                again.project_id == project.id,
                again.task_id == Pick.task_id,
                again.version != Pick.version,
                again.state.in_(("queued", "resolved")),
            ),
        )
        .values(state="resolved", resolved_at=now)
        .execution_options(synchronize_session=False)
    )
    # A task whose annotations were all deleted is served again, at its old place.
    session.execute(
        sa.update(Pick)
        .where(
            Pick.project_id == project.id,
            Pick.version == (project.queue_version or ""),
            Pick.state == "resolved",
            ~answered,
            ~gone,
        )
        .values(state="queued", resolved_at=None)
        .execution_options(synchronize_session=False)
    )
    dropped = session.execute(
        sa.update(Pick)
        .where(*queued, gone)
        .values(state="dropped")
        .execution_options(synchronize_session=False)
    )
    return sum(cast("Any", done).rowcount for done in (resolved, late, dropped))


def made_before_the_draw(session: Session, project: Project) -> bool:
    """Whether the window in force is older than the hold-outs, so that it held no control."""
    made = session.scalar(
        sa.select(sa.func.min(Pick.created_at)).where(
            Pick.project_id == project.id, Pick.version == (project.queue_version or "")
        )
    )
    return made is not None and made < (project.holdout_drawn_at or 0.0)


def roles(session: Session, project: Project) -> dict[int, Role]:
    """The tasks with a role in the current era: test, validation and control."""
    return {
        row.task_id: cast("Role", row.role)
        for row in session.execute(
            sa.select(SplitMember.task_id, SplitMember.role).where(
                SplitMember.project_id == project.id, SplitMember.era == project.era
            )
        )
    }


def holdout_roles(session: Session, project: Project) -> dict[int, Family]:
    """The current era's hold-out members and their roles: these never train."""
    return {
        task_id: role
        for task_id, role in roles(session, project).items()
        if role in ("test", "validation")
    }


def stock(session: Session, project: Project) -> Stock:
    """What the next window can be filled from."""
    members = roles(session, project)
    closed = _closed(session, project, members)
    never = closed | failed_tasks(session, project.id)
    there = set(
        session.scalars(
            sa.select(Task.task_id).where(
                Task.project_id == project.id, Task.deleted_at.is_(None), has_role_decided(project)
            )
        )
    )
    era = current_era(session, project)
    chances = {} if era is None else inclusion_probabilities(session, project, era)
    unrecorded = control_probability(era)
    return Stock(
        [one for one in evaluation_plan(session, project).asked if one[0] not in closed],
        [
            (task, chances.get(task, unrecorded))
            for task in _control_without(session, project, never)
        ],
        there - never - members.keys(),
    )


def open_control(session: Session, project: Project) -> list[int]:
    """The control's tasks that can be asked about, in the order of chance."""
    closed = _closed(session, project, roles(session, project))
    return _control_without(session, project, closed | failed_tasks(session, project.id))


def _control_without(session: Session, project: Project, closed: Collection[int]) -> list[int]:
    groups = groups_in_order(session, project, "control")
    return [task for group in groups for task in group if task not in closed]


def control_probability(era: HoldoutEra | None) -> float:
    """The chance of a control task whose draw kept no record of it: that of the newest frame."""
    if era is None or not era.frames:
        return 1.0
    frame = era.frames[-1]
    return frame["members"] / frame["size"] if frame["members"] else 1.0


def _closed(session: Session, project: Project, members: Collection[int]) -> set[int]:
    """Tasks that are answered, or excluded by hand."""
    # A member that one person skipped outside the queue is still to be asked of another.
    asked_again = waiting_skips(session, project).intersection(members)
    closed = annotated_task_ids(session, project.id) - asked_again
    return closed | read_rule_book(session, project.id).excluded


def failed_tasks(session: Session, project_id: int) -> set[int]:
    """Tasks whose content could not be read; annotators would see nothing either."""
    return set(
        session.scalars(
            sa.select(ContentFailure.task_id).where(ContentFailure.project_id == project_id)
        )
    )


def stage(
    session: Session,
    project: Project,
    version: str,
    round_number: int,
    positions: Sequence[tuple[int, Position]],
) -> None:
    """Record picks before they are sent to Label Studio; `positions` are (score, position)."""
    now = time.time()
    session.add_all(
        Pick(
            project_id=project.id,
            version=version,
            position=score,
            ordinal=position.ordinal,
            round=round_number,
            task_id=position.task_id,
            family=position.family,
            branch=position.branch,
            score=position.score,
            blind=position.blind,
            rolling=position.rolling,
            probability=position.probability,
            details=position.details,
            state="staged",
            created_at=now,
        )
        for score, position in positions
    )


def put_in_force(
    database: Database,
    session: Session,
    project: Project,
    version: str,
    tasks: Collection[int] | None = None,
) -> None:
    """Turn staged picks (all, or those of `tasks`) into the queue; another version is superseded.

    Random draws are recorded here with the frame that they came from.
    """
    session.execute(
        sa.update(Pick)
        .where(Pick.project_id == project.id, Pick.state == "queued", Pick.version != version)
        .values(state="superseded")
    )
    staged = list(
        session.scalars(
            sa.select(Pick).where(
                Pick.project_id == project.id, Pick.version == version, Pick.state == "staged"
            )
        )
    )
    era = current_era(session, project)
    frame_size = era.frames[-1]["size"] if era is not None and era.frames else 0
    draws: list[dict[str, Any]] = []
    for pick in staged:
        if tasks is not None and pick.task_id not in tasks:
            session.delete(pick)
            continue
        pick.state = "queued"
        if pick.family == "random" and pick.probability:
            draws.append(
                {
                    "project_id": project.id,
                    "task_id": pick.task_id,
                    "ordinal": pick.ordinal,
                    "round": pick.round,
                    "frame_size": frame_size,
                    "probability": pick.probability,
                    "drawn_at": pick.created_at,
                }
            )
    _insert_new_draws(database, session, project.id, draws)
    session.execute(
        sa.update(Project).where(Project.id == project.id).values(queue_version=version)
    )
    project.queue_version = version


def drop_staged(session: Session, project_id: int, version: str | None = None) -> None:
    """Forget staged picks that never came into force."""
    condition = [Pick.project_id == project_id, Pick.state == "staged"]
    if version is not None:
        condition.append(Pick.version == version)
    session.execute(sa.delete(Pick).where(*condition))


def staged_versions(session: Session, project_id: int) -> set[str]:
    """Versions that hold staged picks: publish attempts whose end was not recorded."""
    return set(
        session.scalars(
            sa.select(Pick.version)
            .where(Pick.project_id == project_id, Pick.state == "staged")
            .distinct()
        )
    )


def _insert_new_draws(
    database: Database, session: Session, project_id: int, draws: list[dict[str, Any]]
) -> None:
    """A carried-over draw keeps the record of its first publish."""
    known: set[int] = set()
    ids = [int(draw["task_id"]) for draw in draws]
    for start in range(0, len(ids), ROWS_A_STATEMENT):
        known |= set(
            session.scalars(
                sa.select(ControlDraw.task_id).where(
                    ControlDraw.project_id == project_id,
                    ControlDraw.task_id.in_(ids[start : start + ROWS_A_STATEMENT]),
                )
            )
        )
    database.upsert(session, ControlDraw, [d for d in draws if d["task_id"] not in known])
