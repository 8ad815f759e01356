"""What a project looks like right now, as one JSON document: for `status`, the API and the pages.

Everything comes from the state and from the names of the embeddings on disk: no request to Label
Studio, no model and no encoder's weights, so that it may be asked for every second while a round
runs.
"""

import time
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.budget import budget_overview
from backend.embedded_counts import embedded_count
from backend.errors import EncoderUnavailableError
from backend.holdouts import ROLES, holdout_overview, sealed, skip_warnings
from backend.rounds.draw_when_stable import REFUSED
from backend.rounds.lift import FAILING
from backend.rounds.second_opinions import second_opinion_labels
from backend.settings import Settings
from backend.store.database import Database
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
from backend.stream import BUDGET_SPENT, ONLY_TOLD

EVENTS_SHOWN = 20
FAMILIES = ("strategy", "random", "test", "validation")
WORK_KINDS = ("sync", "round", "embed")
CONFOUNDED = (
    'preannotate is "queue": annotators see the model\'s opinion on strategy tasks but not on the '
    "random ones, so that the lift over random labelling is confounded."
)
TOLD_APART = (
    "explain_field is set: annotators can tell random and hold-out tasks, which all carry the same "
    "sentence, from the strategy's, so that the lift over random labelling may be confounded."
)


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
        overview["ledger"] = _ledger(session, project, overview["holdout"])
    trouble = None
    try:
        overview["embedded"] = embedded_count(settings, database, project, pool)
    except EncoderUnavailableError as error:
        trouble = str(error)
    overview["warnings"] = _warnings(settings, overview, trouble)
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


def _ledger(session: Session, project: Project, holdout: dict[str, Any]) -> dict[str, Any]:
    """What evaluation costs within the budget: labels of test, validation (a) and control.

    Those that a second person gives to the same tasks are counted apart and come on top.
    """
    budget = int(project.config.get("budget") or 0)
    once = (
        holdout["test"]["size"]
        + holdout["validation"]["size"]
        + round(float(project.config.get("random_share", 0.0)) * budget)
    )
    spent = {role: holdout[role]["labelled"] for role in ROLES}
    spent["second_opinions"], again = second_opinion_labels(session, project, once)
    planned = once + again
    cap = float(project.config.get("evaluation_cap", 0.3))
    return {
        "spent": spent,
        "labels": sum(spent.values()),
        "planned": planned,
        "planned_share": planned / budget if budget else 0.0,
        "cap": cap,
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


# -------------------------------------------------------------------- warnings


def _warnings(settings: Settings, overview: dict[str, Any], trouble: str | None) -> list[str]:
    """What an admin should know or mend, beside the last error."""
    found: list[str] = []
    active = overview["state"] == "active"
    if overview["state"] == "paused":
        why = overview["pause_reason"]
        mend = (
            "Raise `budget` and it goes on."
            if why == BUDGET_SPENT
            else "`asknext resume` serves tasks again."
        )
        found.append(" ".join(filter(None, ("The label stream is paused.", why, mend))))
    elif overview["pause_reason"]:
        found.append(f"{overview['pause_reason']} {ONLY_TOLD}")
    if trouble:
        found.append(trouble)
    if overview["config"].get("preannotate") == "queue":
        found.append(CONFOUNDED)
    if overview["config"].get("explain_field"):
        found.append(TOLD_APART)
    if active and overview["polls"]:
        found.append(
            "Label Studio sends no events to AskNext: it asks every "
            f"{settings.sync_every_seconds:.0f} s instead. Set SSRF_PROTECTION_ENABLED=false in "
            "Label Studio's environment and connect again to change that."
        )
    if active and overview["pool"] and overview["queue_version"] is None:
        found.append("No queue is published yet; Label Studio serves random tasks until then.")
    elif active and overview["queue_version"] and not sum(overview["queue"].values()):
        found.append("The queue is empty: Label Studio serves random tasks of its own.")
    refused = (overview["last_error"] or "").startswith(REFUSED)
    if active and overview["pool"] and not overview["holdout"]["era"] and not refused:
        found.append(
            "The hold-outs are not drawn yet: that waits until the number of tasks stays the same "
            f"for {settings.stable_total_seconds:.0f} s."
        )
    holdout = overview["holdout"]
    if not holdout.get("intact", True):
        found.append(
            "The hold-out manifest does not fit its hash: the state was edited by hand. Figures of "
            "the test set mean nothing until `asknext holdout reset`."
        )
    changed = holdout.get("changed", {"deleted": 0, "content": 0})
    if changed["deleted"] or changed["content"]:
        found.append(
            f"Of the frozen hold-outs {changed['deleted']} tasks were deleted and "
            f"{changed['content']} have other content now."
        )
    guard = _last_metric(overview, "leak_guard")
    if guard and guard["refused"] is not None:
        found.append(
            f"A near-duplicate threshold of {guard['refused']:.4f} would keep more than 10% of the "
            f"pool from training; {guard['threshold']:.4f} is in force instead."
        )
    compared = holdout.get("comparisons") or []
    # What was seen of one strategy says nothing of another.
    in_force = str(overview["config"].get("strategy"))
    if (
        compared
        and compared[-1]["lift"]["verdict"] == "below"
        and compared[-1]["strategy"] == in_force
    ):
        found.append(
            f"{FAILING}{compared[-1]['sentence']} "
            + (
                "Stratified random replaces most of its picks until a later look sees no harm."
                if overview["config"].get("on_failure") == "random"
                else 'Configure another strategy, or `"on_failure": "random"`.'
            )
        )
    drifted = _last_metric(overview, "drift")
    if drifted and drifted["verdict"] == "drifted":
        found.append(f"The pool has changed since the test set was drawn. {drifted['text']}")
    found += skip_warnings(overview["rounds"])
    reference = _last_metric(overview, "reference")
    if reference and reference["warning"] and overview["config"].get("reference"):
        found.append(reference["warning"])
    if not overview["config"].get("random_share"):
        found.append("There is no random control: nothing tells whether the strategy helps.")
    found += [
        f"The tab {rule['title']!r} is not in force: {rule['error']}"
        for rule in overview["rules"]
        if rule["error"]
    ]
    if overview["unplanned"]:
        found.append(
            f"{overview['unplanned']} tasks were labelled outside the queue (served by Label "
            "Studio after the window ran dry, or opened by hand)."
        )
    if overview["unreadable"]:
        found.append(
            f"The content of {overview['unreadable']} tasks cannot be read; they are tried again "
            "later and not queued until then."
        )
    return found


def _last_metric(overview: dict[str, Any], name: str) -> dict[str, Any] | None:
    """A figure of the newest round that was measured."""
    for record in reversed(overview["rounds"]):
        if record["metrics"] and record["metrics"].get(name):
            return dict(record["metrics"][name])
    return None
