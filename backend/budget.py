"""The label budget: what is spent, in annotations and hours, and when it ends at this pace."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.store.tables import Annotation, Project

# A lead time beyond this quantile of its annotator's is a break, not work.
LEAD_TIME_QUANTILE = 0.95
# The pace is that of so many days back from the newest annotation.
PACE_DAYS = 7.0
# A pace needs that many annotations and hours to be one.
FEWEST, SHORTEST_HOURS = 10, 0.25


@dataclass(frozen=True)
class Spent:
    """Submitted annotations (skips apart) and the hours that they and the skips took."""

    annotations: int
    skips: int
    hours: float
    per_day: float | None


def spent(session: Session, project_id: int) -> Spent:
    """What was spent so far; `per_day` is None while there is no pace to speak of."""
    connected = session.scalar(sa.select(Project.created_at).where(Project.id == project_id))
    rows = session.execute(
        sa.select(
            Annotation.completed_by,
            Annotation.cancelled,
            Annotation.lead_time,
            Annotation.created_at,
        ).where(
            Annotation.project_id == project_id,
            Annotation.deleted_at.is_(None),
            # What was there before, or is a given truth, was not paid from this budget.
            Annotation.ground_truth.is_(False),
            Annotation.created_at >= _utc(connected or 0.0),
        )
    ).all()
    submitted = [row for row in rows if not row.cancelled]
    times: dict[int | None, list[float]] = defaultdict(list)
    for row in rows:
        if row.lead_time is not None:
            times[row.completed_by].append(row.lead_time)
    hours = 0.0
    for mine in times.values():
        longest = float(np.quantile(mine, LEAD_TIME_QUANTILE))
        hours += sum(min(seconds, longest) for seconds in mine) / 3600.0
    return Spent(len(submitted), len(rows) - len(submitted), hours, _pace(submitted))


def is_spent(session: Session, project: Project) -> bool:
    """Whether the budget's annotations, or its hours where they are given, are used up."""
    so_far = spent(session, project.id)
    hours = project.config.get("budget_hours")
    return so_far.annotations >= int(project.config["budget"]) or (
        hours is not None and so_far.hours >= float(hours)
    )


def budget_overview(session: Session, project: Project, now: datetime) -> dict[str, Any]:
    """The budget for `status` and the API; `finish_at` in ISO 8601, None without a pace."""
    so_far = spent(session, project.id)
    budget = int(project.config.get("budget") or 0)
    hours = project.config.get("budget_hours")
    left: list[float] = []
    if so_far.per_day:
        left.append(max(budget - so_far.annotations, 0) / so_far.per_day)
        if hours is not None and so_far.annotations and so_far.hours:
            each = so_far.hours / so_far.annotations
            left.append(max(float(hours) - so_far.hours, 0.0) / (each * so_far.per_day))
    finish = now + timedelta(days=min(left)) if left and min(left) < 36_500 else None
    return {
        "annotations": so_far.annotations,
        "budget": budget,
        "skips": so_far.skips,
        "hours": round(so_far.hours, 2),
        "budget_hours": hours,
        "per_day": so_far.per_day,
        "finish_at": None if finish is None else finish.isoformat(timespec="minutes"),
    }


def _utc(moment: float) -> str:
    """A moment as Label Studio writes it, so that texts compare as moments do."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _pace(submitted: list[Any]) -> float | None:
    """Annotations a day over the last week of work, nights and week-ends included."""
    moments = sorted(
        datetime.fromisoformat(row.created_at.replace("Z", "+00:00")) for row in submitted
    )
    if len(moments) < FEWEST:
        return None
    begin = max(moments[0], moments[-1] - timedelta(days=PACE_DAYS))
    recent = [moment for moment in moments if moment >= begin]
    days = (recent[-1] - recent[0]).total_seconds() / 86_400.0
    if days * 24.0 < SHORTEST_HOURS:
        return None
    return (len(recent) - 1) / days
