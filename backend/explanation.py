"""Why one task is in the queue, or why it is not: for `asknext explain` and the API."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.errors import RequestError
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.queue import roles
from backend.rounds.reasons import ROLES, sentence
from backend.store.database import Database
from backend.store.tables import ContentFailure, HandRule, HandRuleTask, Pick, Project, Task


def explain(database: Database, project: Project, task_id: int) -> dict[str, Any]:
    """What is known of a task's place in the queue, and the reason in one sentence.

    `state` is `queued` (in the window in force), `answered` (it was queued and is annotated),
    `waiting` (in the pool) or `closed` (never queued as things are).

    Raises:
        RequestError: the project has no such task.
    """
    with database.read() as session:
        project = session.get_one(Project, project.id)
        known = 0 < task_id < 2**31  # a database would refuse to look for another number
        task = session.get(Task, (project.id, task_id)) if known else None
        if task is None or task.deleted_at is not None:
            raise RequestError(
                "task",
                f"Project {project.label_studio_id} has no task {task_id} as far as is known.",
                "Give the number that Label Studio shows as the task's ID.",
                404,
            )
        rules = _rules(session, project.id, task_id)
        document: dict[str, Any] = {
            "project": project.label_studio_id,
            "task": task_id,
            "rules": [{"title": rule.title, "kind": rule.kind} for rule in rules],
        }
        pick = _last_pick(session, project, task_id)
        annotated = task_id in annotated_task_ids(session, project.id)
        if pick is not None and (annotated or pick.state == "queued"):
            return document | _of_pick(project, pick, rules, annotated)
        return document | _not_queued(session, project, task, rules, annotated)


def _last_pick(session: Session, project: Project, task_id: int) -> Pick | None:
    """The task's place in the window in force, else the last one that it had."""
    return session.scalars(
        sa.select(Pick)
        .where(Pick.project_id == project.id, Pick.task_id == task_id, Pick.state != "staged")
        .order_by(sa.case((Pick.state == "queued", 0), else_=1), Pick.id.desc())
    ).first()


def _of_pick(
    project: Project, pick: Pick, rules: list[HandRule], annotated: bool
) -> dict[str, Any]:
    pins = [rule.title for rule in rules if rule.kind == "pin"]
    details = pick.details or {}
    return {
        "state": "answered" if annotated else "queued",
        "position": pick.position,
        "round": pick.round,
        "queue_version": pick.version,
        "family": pick.family,
        "branch": pick.branch,
        "blind": pick.blind or project.config.get("preannotate") != "queue",
        "score": pick.score,
        "inclusion_probability": pick.probability or details.get("inclusion_probability"),
        "details": details,
        "sentence": sentence(
            family=pick.family,
            branch=pick.branch,
            score=pick.score,
            probability=pick.probability,
            details=details,
            classes=project.classes,
            pins=pins,
        ),
    }


def _not_queued(
    session: Session, project: Project, task: Task, rules: list[HandRule], annotated: bool
) -> dict[str, Any]:
    role = roles(session, project).get(task.task_id)
    failure = session.get(ContentFailure, (project.id, task.task_id))
    excluding = [rule.title for rule in rules if rule.kind == "exclude"]
    state = "closed"
    if annotated:
        state, text = "answered", "It is annotated, and was never in the queue."
    elif excluding:
        text = f"It is never queued: the tab {', '.join(map(repr, excluding))} excludes it."
    elif role is not None:
        state, text = "waiting", f"It waits for its turn. {ROLES[role]}"
    elif failure is not None:
        text = f"It is not queued, for its content cannot be read: {failure.message}"
    elif project.queue_version is None:
        state, text = "waiting", "Nothing is queued yet."
    else:
        state = "waiting"
        text = (
            f"It waits in the pool: in round {project.round_number} the strategy and the random "
            "draw chose others for the window."
        )
    return {"state": state, "family": role, "sentence": text}


def _rules(session: Session, project_id: int, task_id: int) -> list[HandRule]:
    return list(
        session.scalars(
            sa.select(HandRule)
            .join(
                HandRuleTask,
                sa.and_(
                    HandRuleTask.project_id == HandRule.project_id,
                    HandRuleTask.view_id == HandRule.view_id,
                ),
            )
            .where(HandRule.project_id == project_id, HandRuleTask.task_id == task_id)
            .order_by(HandRule.view_id)
        )
    )
