"""The label budget: what is spent, in annotations and hours, and when it ends at this pace."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.store.tables import Annotation, Project

# A lead time beyond this percentile of its annotator's is a break, not work.
LEAD_TIME_PERCENT = 95
# The pace is that of so many days back from the newest annotation.
PACE_DAYS = 7.0
# A pace needs that many annotations and hours to be one.
FEWEST, SHORTEST_HOURS = 10, 0.25
# What was found last, by database and project, and the state of the annotations that it holds for.
_KNOWN: dict[tuple[str, int], tuple[tuple[Any, ...], "Spent"]] = {}


@dataclass(frozen=True)
class Spent:
    """Submitted annotations (skips apart) and the hours that they and the skips took."""

    annotations: int
    skips: int
    hours: float
    per_day: float | None


def spent(session: Session, project_id: int) -> Spent:
    """What was spent so far; `per_day` is None while there is no pace to speak of.

    This is asked at each look at the status: the database adds up, and what a process found stays
    valid for as long as the sums below, which any annotation that comes, goes or changes moves.
    """
    paid = paid_annotations(session, project_id)
    place = (str(session.get_bind().engine.url), project_id)
    state = tuple(
        session.execute(
            sa.select(
                sa.func.count(),
                sa.func.max(Annotation.annotation_id),
                sa.func.sum(Annotation.annotation_id),
                sa.func.max(Annotation.updated_at),
                sa.func.max(Annotation.created_at),
                sa.func.sum(Annotation.lead_time),
                sa.func.sum(Annotation.completed_by),
                sa.func.sum(sa.case((Annotation.cancelled, 1), else_=0)),
            ).where(*paid)
        ).one()
    )
    known = _KNOWN.get(place)
    if known is not None and known[0] == state:
        return known[1]
    submitted, skips = _counts(session, paid)
    found = Spent(submitted, skips, _hours(session, paid), _pace(session, paid, submitted))
    _KNOWN[place] = (state, found)
    return found


def is_spent(session: Session, project: Project) -> bool:
    """Whether the budget's annotations, or its hours where they are given, are used up."""
    paid = paid_annotations(session, project.id)
    if _counts(session, paid)[0] >= int(project.config["budget"]):
        return True
    hours = project.config.get("budget_hours")
    return hours is not None and _hours(session, paid) >= float(hours)


def paid_annotations(session: Session, project_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    """Which annotations the budget pays: not what was there before, nor a given truth."""
    connected = session.scalar(sa.select(Project.created_at).where(Project.id == project_id))
    return (
        Annotation.project_id == project_id,
        Annotation.deleted_at.is_(None),
        Annotation.ground_truth.is_(False),
        _made() >= _text(datetime.fromtimestamp(connected or 0.0, UTC)),
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


def _counts(session: Session, paid: tuple[sa.ColumnElement[bool], ...]) -> tuple[int, int]:
    rows = session.execute(
        sa.select(Annotation.cancelled, sa.func.count()).where(*paid).group_by(Annotation.cancelled)
    )
    found = {bool(cancelled): int(count) for cancelled, count in rows}
    return found.get(False, 0), found.get(True, 0)


def _hours(session: Session, paid: tuple[sa.ColumnElement[bool], ...]) -> float:
    """Lead times, each at most the 95th percentile of its annotator's (linear interpolation).

    Of n sorted times those up to place ⌊0.95 (n − 1)⌋ are no longer than it, the others no shorter.
    """
    annotator = Annotation.completed_by
    sorted_times = (
        sa.select(
            annotator,
            Annotation.lead_time,
            sa.func.row_number()
            .over(partition_by=annotator, order_by=Annotation.lead_time)
            .label("rank"),
            sa.func.count().over(partition_by=annotator).label("count"),
        )
        .where(*paid, Annotation.lead_time.is_not(None))
        .subquery()
    )
    rank, count, time = (sorted_times.c[name] for name in ("rank", "count", "lead_time"))
    below = rank <= (count - 1) * LEAD_TIME_PERCENT // 100 + 1
    rows = session.execute(
        sa.select(
            sa.func.max(count),
            sa.func.sum(sa.case((below, time), else_=0.0)),
            sa.func.max(sa.case((below, time))),
            sa.func.min(sa.case((~below, time))),
        ).group_by(sorted_times.c.completed_by)
    )
    seconds = 0.0
    for size, total, last_below, first_above in rows:
        place, part = divmod((size - 1) * LEAD_TIME_PERCENT, 100)
        longest = last_below
        if first_above is not None:
            longest += (first_above - last_below) * part / 100
        seconds += total + (size - 1 - place) * longest
    return seconds / 3600.0


def _pace(session: Session, paid: tuple[sa.ColumnElement[bool], ...], total: int) -> float | None:
    """Annotations a day over the last week of work, nights and week-ends included."""
    if total < FEWEST:
        return None
    submitted = (*paid, Annotation.cancelled.is_(False))
    end = _moment(session.execute(sa.select(sa.func.max(_made())).where(*submitted)).scalar_one())
    recent, begin = session.execute(
        sa.select(sa.func.count(), sa.func.min(_made())).where(
            *submitted, _made() >= _text(end - timedelta(days=PACE_DAYS))
        )
    ).one()
    days = (end - _moment(begin)).total_seconds() / 86_400.0
    if days * 24.0 < SHORTEST_HOURS:
        return None
    return float((recent - 1) / days)


def _made() -> sa.ColumnElement[str]:
    """When an annotation was made, in UTC without saying so: texts that compare as moments do."""
    return sa.func.rtrim(sa.func.replace(Annotation.created_at, "+00:00", ""), "Z")


def _text(moment: datetime) -> str:
    """The shortest such text of a moment: no longer way to write it comes before it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")
