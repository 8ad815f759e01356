"""The random control: its interval grows when it runs dry, and its labels score before they train.

A grown part is a simple random sample of what is unlabelled then, for no strategy knows the
numbers: the frame that it was drawn from is kept with it.
"""

import hashlib
import hmac
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.budget import spent
from backend.config import parse_config
from backend.evaluation.holdout import CONTROL_POOL_SHARE, Intervals, Sizes, draw_intervals
from backend.models.artefact import Model
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.numbering import current_era, member, numbering
from backend.rounds.reserve import reserve
from backend.store.database import Database
from backend.store.evaluation_tables import ControlScore, SplitMember
from backend.store.projects import record_event
from backend.store.tables import Label, Pick, Project, Task, TrainingManifest


def extend_control(database: Database, session: Session, project: Project) -> int:
    """Draw more control tasks where few are left unanswered; how many.

    Groups of which a task is labelled or queued are no part of the frame.
    """
    config = parse_config(project.config)
    era = current_era(session, project)
    if era is None or project.holdout_drawn_at is None or config.random_share == 0:
        return 0
    roles = queue.roles(session, project)
    annotated = annotated_task_ids(session, project.id)
    left = len(queue.open_control(session, project))
    if left > config.random_share * config.window:  # enough for the next window
        return 0
    still = max(config.budget - spent(session, project.id).annotations, 0)
    if not still:  # nothing of the pool needs to be read
        return 0
    how = numbering(session, project)
    tasks = session.execute(
        sa.select(Task.task_id, Task.fields, Task.u)
        .where(Task.project_id == project.id, Task.deleted_at.is_(None))
        .order_by(Task.task_id)
    ).all()
    queued = set(
        session.scalars(
            sa.select(Pick.task_id).where(Pick.project_id == project.id, Pick.state == "queued")
        )
    )
    keys = {task.task_id: how.key(task.task_id, task.fields or {}) for task in tasks}
    touched = {
        keys[task.task_id]
        for task in tasks
        if task.task_id in annotated or task.task_id in queued or task.task_id in roles
    }
    frame = [task for task in tasks if keys[task.task_id] not in touched]
    if left > config.random_share * len(frame):
        return 0
    groups = len({keys[task.task_id] for task in frame})
    wanted = min(round(config.random_share * still), int(CONTROL_POOL_SHARE * len(frame)))
    if not frame:
        return 0
    # As at the draw: one group at least, unless that is too much of them.
    wanted = wanted * groups // len(frame) or min(1, int(CONTROL_POOL_SHARE * groups))
    if not wanted:
        return 0
    strata: dict[str, str] = {}
    for task in frame:
        strata.setdefault(keys[task.task_id], how.stratum(task.fields or {}))
    grown = draw_intervals(
        hmac.new(how.secret, f"control {len(era.frames)}".encode(), hashlib.sha256).digest(),
        [task.u for task in frame],
        [strata[keys[task.task_id]] for task in frame],
        Sizes(0, 0, wanted),
    )
    now = time.time()
    members = [
        member(project.id, era.era, task.task_id, "control", task.u, now, late=True)
        for task in frame
        if task.u in grown[strata[keys[task.task_id]]].control
    ]
    if not members:
        return 0
    database.upsert(session, SplitMember, members)
    # Who came before was held against the interval as it was.
    before = {name: document["control"][0] for name, document in era.intervals.items()}
    arrivals = era.reports.get("late_rates", [])
    era.reports = {
        **era.reports,
        "late_rates": [{"control": before, **arrival} for arrival in arrivals],
    }
    era.intervals = _lowered(era.intervals, grown)
    era.frames = [*era.frames, {"size": len(frame), "members": len(members), "at": now}]
    record_event(
        session,
        project.id,
        "info",
        f"The random control grew by {len(members)} of the {len(frame)} tasks of which nothing is "
        "labelled yet.",
    )
    return len(members)


def score_control(context: ProjectContext, model: Model | None) -> int:
    """Let the model in force score the control labels that came since; how many it scored.

    It was trained before it could know them. Where there is no model, or it does know one or one of
    its group (labelled before a new era made it control, or before a later slice of the patient
    came), that is kept too, and the label measures nothing.
    """
    with context.database.read() as session:
        project = context.project()
        number_of = {
            row.task_id: row.u
            for row in session.execute(
                sa.select(SplitMember.task_id, SplitMember.u).where(
                    SplitMember.project_id == project.id,
                    SplitMember.era == project.era,
                    SplitMember.role == "control",
                )
            )
        }
        scored = set(
            session.scalars(
                sa.select(ControlScore.task_id).where(ControlScore.project_id == project.id)
            )
        )
        rows = {
            row.task_id: row.content_hash
            for row in session.execute(
                sa.select(Label.task_id, Task.content_hash)
                .join(
                    Task,
                    sa.and_(Task.project_id == Label.project_id, Task.task_id == Label.task_id),
                )
                .where(
                    Label.project_id == project.id,
                    Label.status != "none",
                    Task.content_hash.is_not(None),
                )
            )
        }
        manifest = session.get(TrainingManifest, (project.id, project.model_round))
        known_to_it = {int(member[0]) for member in manifest.members} if manifest else set()
        known_groups = {u for task, u in number_of.items() if task in known_to_it}
    new = [task for task in number_of if task in rows and task not in scored]
    embedded = context.cache.contains([rows[task] for task in new])
    new = [task for task, there in zip(new, embedded, strict=True) if there]
    if not new:
        return 0
    now = time.time()
    scores: list[dict[str, Any]] = []
    probabilities = (
        None if model is None else model.probabilities(context.cache.get([rows[t] for t in new]))
    )
    elsewhere = None if model is None else reserve(context, model).mean
    for position, task in enumerate(new):
        blank = probabilities is None or number_of[task] in known_groups
        given = None if blank or probabilities is None else probabilities[position]
        scores.append(
            {
                "project_id": context.project_id,
                "task_id": task,
                "round": project.model_round if model is not None else 0,
                "predicted": None
                if given is None or model is None
                else model.classes[int(given.argmax())],
                "given": {}
                if given is None or model is None
                else {name: float(p) for name, p in zip(model.classes, given, strict=True)},
                "reserve_confidence": elsewhere,
                "scored_at": now,
            }
        )
    with context.database.write() as session:
        context.database.upsert(session, ControlScore, scores)
    return sum(score["predicted"] is not None for score in scores)


def _lowered(documents: dict[str, Any], grown: dict[str, Intervals]) -> dict[str, Any]:
    """The control's intervals, down to where the grown part ends."""
    lows = {stratum: part.control.low for stratum, part in grown.items()}
    result: dict[str, Any] = {}
    for stratum in documents.keys() | lows.keys():
        document = documents.get(stratum) or Intervals().as_document()
        low = min(lows.get(stratum, 1.0), document["control"][0] or 1.0)
        result[stratum] = {**document, "control": [low, 1.0]}
    return result
