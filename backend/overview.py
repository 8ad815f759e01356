"""What a project looks like right now, as one JSON document: for `status`, the API and the pages.

Everything comes from the state and from the names of the embeddings on disk: no request to Label
Studio, no model and no encoder's weights, so that it may be asked for every second while a round
runs.
"""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.budget import budget_overview, paid_annotations
from backend.embedded_counts import embedded_count
from backend.errors import EncoderUnavailableError
from backend.evaluation.sample_size import precision
from backend.holdouts import ROLES, holdout_overview, sealed
from backend.rounds.evaluation_plan import EvaluationPlan, evaluation_plan
from backend.rounds.second_opinions import second_opinion_labels
from backend.settings import Settings
from backend.status_warnings import status_warnings
from backend.store.database import Database
from backend.store.evaluation_tables import SplitMember
from backend.store.projects import all_projects, installation_name, model_version
from backend.store.tables import (
    Annotation,
    ConfigChange,
    ContentFailure,
    Event,
    HandRule,
    Label,
    LabelChange,
    Pick,
    Project,
    Round,
    Task,
    Work,
)

EVENTS_SHOWN = 20
FAMILIES = ("strategy", "random", "test", "validation")
WORK_KINDS = ("sync", "round", "embed")


def all_overviews(settings: Settings, database: Database) -> list[dict[str, Any]]:
    """Every project that was ever connected, by Label Studio's id."""
    with database.read() as session:
        projects = all_projects(session)
    return [project_overview(settings, database, project) for project in projects]


def project_overview(settings: Settings, database: Database, project: Project) -> dict[str, Any]:
    """One project: labels, queue, hold-outs, work, rounds, configuration and what went wrong."""
    name = installation_name(database)
    with database.read() as session:
        project = session.get_one(Project, project.id)
        labels = _label_counts(session, project.id)
        pool = _count(session, Task, project.id, Task.deleted_at.is_(None))
        overview: dict[str, Any] = {
            "id": project.label_studio_id,
            "title": project.title,
            "kind": project.kind,
            "state": project.state,
            "url": project.label_studio_url,
            "labelled": labels.get("settled", 0),
            "annotations": _count(
                session,
                Annotation,
                project.id,
                Annotation.deleted_at.is_(None),
                Annotation.cancelled.is_(False),
            ),
            "skipped": _skipped(session, project.id),
            "unsettled": labels.get("tie", 0),
            "budget": project.config.get("budget"),
            "pool": pool,
            "embedded": 0,
            "unreadable": _count(session, ContentFailure, project.id),
            "queue_version": project.queue_version,
            "model_version": model_version(name, project.model_round),
            "queue": _queue(session, project),
            "rules": _rules(session, project.id),
            "holdout": holdout_overview(session, project),
            "work": _work(session, project.id),
            "rounds": _rounds(session, project.id),
            "config": project.config,
            "config_refusal": _refusal(session, project.id),
            "unplanned": _unplanned(session, project.id),
            "last_error": project.last_error,
            "last_error_at": project.last_error_at,
            "events": _events(session, project.id),
            "polls": project.polls,
            "pause_reason": project.pause_reason,
        }
        overview["spent"] = budget_overview(session, project, datetime.now(UTC))
        plan = evaluation_plan(session, project)
        overview["ledger"] = _ledger(session, project, plan)
        if "digest" in overview["holdout"]:
            # Of what is asked: who is held out beyond the cap measures nothing.
            overview["holdout"]["precision"] = asdict(precision(plan.test_groups))
    trouble = None
    try:
        overview["embedded"] = embedded_count(settings, database, project, pool)
    except EncoderUnavailableError as error:
        trouble = str(error)
    overview["warnings"] = status_warnings(settings, overview, trouble)
    return overview


# -------------------------------------------------------------------- labels, queue and hold-outs


def _label_counts(session: Session, project_id: int) -> dict[str, int]:
    rows = session.execute(
        sa.select(Label.status, sa.func.count())
        .where(Label.project_id == project_id)
        .group_by(Label.status)
    )
    return {str(status): int(count) for status, count in rows}


def _skipped(session: Session, project_id: int) -> int:
    """Tasks whose every annotation is a skip."""
    skipped_only = (
        sa.select(Annotation.task_id)
        .where(Annotation.project_id == project_id, Annotation.deleted_at.is_(None))
        .group_by(Annotation.task_id)
        .having(sa.func.sum(sa.case((Annotation.cancelled, 0), else_=1)) == 0)
    )
    return int(session.scalar(sa.select(sa.func.count()).select_from(skipped_only.subquery())) or 0)


def _queue(session: Session, project: Project) -> dict[str, int]:
    """The unanswered positions of the version in force, by family."""
    rows = session.execute(
        sa.select(Pick.family, sa.func.count())
        .where(
            Pick.project_id == project.id,
            Pick.state == "queued",
            Pick.version == (project.queue_version or ""),
        )
        .group_by(Pick.family)
    )
    return dict.fromkeys(FAMILIES, 0) | {str(family): int(count) for family, count in rows}


def _rules(session: Session, project_id: int) -> list[dict[str, Any]]:
    """The rules by hand: Data Manager tabs, and how many tasks each matches."""
    found = session.scalars(
        sa.select(HandRule).where(HandRule.project_id == project_id).order_by(HandRule.view_id)
    )
    return [
        {
            "tab": rule.view_id,
            "title": rule.title,
            "kind": rule.kind,
            "weight": rule.weight,
            "matched": rule.matched,
            "error": rule.error,
        }
        for rule in found
    ]


def _ledger(session: Session, project: Project, plan: EvaluationPlan) -> dict[str, Any]:
    """What evaluation costs within the budget: labels of test, validation (a) and control.

    Those that a second person gives to the same tasks are counted apart and come on top. What was
    labelled before the budget began costs nothing.
    """
    budget = int(project.config.get("budget") or 0)
    spent = dict.fromkeys(ROLES, 0) | {
        str(role): int(count)
        for role, count in session.execute(
            sa.select(SplitMember.role, sa.func.count(sa.distinct(SplitMember.task_id)))
            .join(
                Annotation,
                sa.and_(
                    Annotation.project_id == SplitMember.project_id,
                    Annotation.task_id == SplitMember.task_id,
                ),
            )
            .where(
                SplitMember.era == project.era,
                Annotation.cancelled.is_(False),
                *paid_annotations(session, project.id),
            )
            .group_by(SplitMember.role)
        )
    }
    spent["second_opinions"], again = second_opinion_labels(session, project, plan)
    planned = plan.labels + again
    return {
        "spent": spent,
        "labels": sum(spent.values()),
        "planned": planned,
        "planned_share": planned / budget if budget else 0.0,
        "cap": float(project.config.get("evaluation_cap", 0.3)),
        "not_asked": plan.not_asked,
    }


def _unplanned(session: Session, project_id: int) -> int:
    """Tasks first labelled after the first window was published, though never queued.

    Label Studio serves random tasks of its own once a window is dry; an annotator may also open
    any task by hand. Both moments are by our clock.
    """
    published = session.scalar(
        sa.select(sa.func.min(Pick.created_at)).where(
            Pick.project_id == project_id, Pick.state != "staged"
        )
    )
    if published is None:
        return 0
    queued = sa.exists().where(
        Pick.project_id == project_id,
        Pick.task_id == LabelChange.task_id,
        Pick.state != "staged",
    )
    first_labelled = (
        sa.select(LabelChange.task_id)
        .where(LabelChange.project_id == project_id, ~queued)
        .group_by(LabelChange.task_id)
        .having(sa.func.min(LabelChange.at) > published)
    )
    return int(
        session.scalar(sa.select(sa.func.count()).select_from(first_labelled.subquery())) or 0
    )


# -------------------------------------------------------------------- work and records


def _work(session: Session, project_id: int) -> dict[str, dict[str, Any]]:
    rows = {
        row.kind: row
        for row in session.scalars(sa.select(Work).where(Work.project_id == project_id))
    }
    now = time.time()
    answer: dict[str, dict[str, Any]] = {}
    for kind in WORK_KINDS:
        row = rows.get(kind)
        running = row is not None and row.owner is not None and (row.lease_until or 0.0) >= now
        answer[kind] = {
            "running": running,
            "waiting": row is not None and row.requested > row.done and not running,
            "progress": dict(row.progress or {}) if row is not None else {},
        }
    return answer


def _rounds(session: Session, project_id: int) -> list[dict[str, Any]]:
    return [
        {
            "number": row.number,
            "state": row.state,
            "stage": row.stage,
            "model_version": row.model_version,
            "queue_version": row.queue_version,
            "labelled": row.labelled,
            "trained_on": row.trained_on,
            "strategy": row.strategy,
            "note": row.note,
            "metrics": sealed(row.metrics),
            "seconds": row.seconds,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
            "error": row.error,
        }
        for row in session.scalars(
            sa.select(Round).where(Round.project_id == project_id).order_by(Round.number)
        )
    ]


def _events(session: Session, project_id: int) -> list[dict[str, Any]]:
    return [
        {"level": row.level, "message": row.message, "at": row.at}
        for row in session.scalars(
            sa.select(Event)
            .where(Event.project_id == project_id)
            .order_by(Event.id.desc())
            .limit(EVENTS_SHOWN)
        )
    ]


def _refusal(session: Session, project_id: int) -> str | None:
    """The newest change of the configuration where it was a refusal."""
    newest = session.scalars(
        sa.select(ConfigChange)
        .where(ConfigChange.project_id == project_id)
        .order_by(ConfigChange.id.desc())
        .limit(1)
    ).first()
    if newest is None or newest.accepted:
        return None
    return f"The configuration from {newest.source} was refused: {newest.message}"


def _count(
    session: Session, table: Any, project_id: int, *conditions: sa.ColumnElement[bool]
) -> int:
    counted = sa.select(sa.func.count()).select_from(table)
    return int(session.scalar(counted.where(table.project_id == project_id, *conditions)) or 0)
