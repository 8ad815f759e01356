"""The hold-outs as an admin sees them: the manifest, the sealed test curve, a new era."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.errors import RequestError
from backend.evaluation.skip_bounds import WARNING_SHARE
from backend.rounds.holdout import manifest_digest
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.rules import read_rule_book
from backend.store import work
from backend.store.database import Database
from backend.store.evaluation_tables import HoldoutEra, SplitMember
from backend.store.projects import record_event
from backend.store.tables import Label, Project, Round, Task

ROLES = ("test", "validation", "control")
RANDOM_SETS = {
    "control": "Random control",
    "validation": "Validation set (a)",
    "test": "Test set",
    "supplement": "Late test tasks",
}
SEALED = ("test", "supplement", "supplemented")


def holdout_overview(session: Session, project: Project) -> dict[str, Any]:
    """Sizes and labels of each role, the manifest's hash, and what became of its members since."""
    era = session.get(HoldoutEra, (project.id, project.era))
    sizes = _sizes(session, project)
    document: dict[str, Any] = {"era": project.era, **sizes}
    if era is None:
        return document
    return {
        **document,
        "digest": era.digest,
        "intact": era.digest == manifest_digest(era),
        "drawn_at": era.drawn_at,
        "group_by": era.group_by,
        "strata": era.strata,
        "looks": era.looks,
        "late": _late(session, project),
        "outdated": _outdated(project, era),
        "changed": _changed(session, project, era),
        "frames": era.frames,
        "representativeness": era.reports.get("representativeness"),
        "comparisons": era.reports.get("comparisons", []),
    }


def manifest(database: Database, project: Project) -> dict[str, Any]:
    """The frozen members with their content's hashes, the rule and the hash of it all.

    Raises:
        RequestError: nothing is drawn yet.
    """
    with database.read() as session:
        era = _era(session, project)
        return {
            "era": era.era,
            "digest": era.digest,
            "drawn_at": era.drawn_at,
            "group_by": era.group_by,
            "strata": era.strata,
            "intervals": era.intervals,
            "precision": era.reports.get("precision"),
            "representativeness": era.reports.get("representativeness"),
            "members": [
                {"task": task, "role": role, "content_hash": content, "u": u}
                for task, role, content, u in era.manifest
            ],
        }


def open_test_curve(database: Database, project: Project) -> dict[str, Any]:
    """The accuracy of every round on the sealed test set; each call is one more look.

    Raises:
        RequestError: nothing is drawn yet.
    """
    with database.write() as session:
        era = _era(session, project)
        era.looks += 1
        record_event(
            session,
            project.id,
            "info",
            f"The test curve of era {era.era} was opened (look {era.looks}).",
        )
        rounds = session.scalars(
            sa.select(Round)
            .where(Round.project_id == project.id, Round.started_at >= era.drawn_at)
            .order_by(Round.number)
        )
        return {
            "era": era.era,
            "digest": era.digest,
            "looks": era.looks,
            "rounds": [
                {
                    "number": row.number,
                    "labelled": row.labelled,
                    "trained_on": row.trained_on,
                    "test": row.metrics["test"],
                    "supplement": row.metrics.get("supplement"),
                    "together": row.metrics.get("supplemented"),
                    "reference": ((row.metrics.get("reference") or {}).get("reweighted") or {}).get(
                        "test"
                    ),
                }
                for row in rounds
                if row.metrics and "test" in row.metrics
            ],
        }


def count_look(database: Database, project: Project) -> str:
    """Count a look at the test set that a backtest takes; the same in words.

    Raises:
        RequestError: nothing is drawn yet.
    """
    with database.write() as session:
        era = _era(session, project)
        era.looks += 1
        words = (
            f"A backtest measured on the test set of era {era.era} too, which counts as a look at "
            f"it (look {era.looks})."
        )
        record_event(session, project.id, "info", words)
    return words


def start_new_era(database: Database, project: Project) -> int:
    """Give up the hold-outs in force, so that the next sync draws those of a new era; its number.

    The old members become ordinary tasks and their labels train.

    Raises:
        RequestError: nothing is drawn yet.
    """
    with database.write() as session:
        era = _era(session, project)
        session.execute(
            sa.update(Project).where(Project.id == project.id).values(holdout_drawn_at=None)
        )
        record_event(
            session,
            project.id,
            "warning",
            f"The hold-outs of era {era.era} were given up after {era.looks} looks at the test "
            "curve; curves before and after cannot be compared.",
        )
        work.request_in(session, project.id, "sync")
        return era.era + 1


def sealed(metrics: dict[str, Any] | None) -> dict[str, Any] | None:
    """A round's metrics without what the test set says: numbers of tasks tell nothing of it."""
    if metrics is None:
        return None
    kept = {name: value for name, value in metrics.items() if name not in SEALED}
    for name in ("test", "supplement"):
        if name in metrics:
            kept[name] = {"labelled": metrics[name]["labelled"], "sealed": True}
            if "skips" in metrics[name]:
                counts = {part: metrics[name]["skips"][part] for part in ("asked", "skipped")}
                beyond = metrics[name]["beyond_prefix"]
                kept[name] |= {"skips": counts, "beyond_prefix": beyond}
    there = (kept.get("reference") or {}).get("reweighted")
    if there:
        test = {"items": there["test"]["items"], "sealed": True}
        kept["reference"] = {**kept["reference"], "reweighted": {**there, "test": test}}
    return kept


def skip_warnings(rounds: Sequence[dict[str, Any]]) -> list[str]:
    """Where more than 5% of a random set was skipped; of the sealed test set without its bounds."""
    found = []
    for name, words in RANDOM_SETS.items():
        newest = [one["metrics"][name] for one in rounds if (one["metrics"] or {}).get(name)]
        skips = newest[-1].get("skips") if newest else None
        if not skips or skips["skipped"] <= WARNING_SHARE * skips["asked"]:
            continue
        said = skips.get("warning") or (
            f"{skips['skipped']} of {skips['asked']} tasks were skipped or are in dispute; what "
            "that can do to the accuracy is shown by `asknext holdout open`. Ask why"
        )
        found.append(f"{words}: {said}.")
    return found


def _era(session: Session, project: Project) -> HoldoutEra:
    project = session.get_one(Project, project.id)
    era = session.get(HoldoutEra, (project.id, project.era))
    if era is None or project.holdout_drawn_at is None:
        raise RequestError(
            "holdout",
            "The hold-outs are not drawn yet.",
            "They are drawn once the number of tasks stands still; `asknext status` says so.",
            409,
        )
    return era


def _sizes(session: Session, project: Project) -> dict[str, dict[str, int]]:
    rows = session.execute(
        sa.select(SplitMember.role, sa.func.count(), sa.func.count(Label.task_id))
        .outerjoin(
            Label,
            sa.and_(
                Label.project_id == SplitMember.project_id,
                Label.task_id == SplitMember.task_id,
                Label.status == "settled",
            ),
        )
        .where(
            SplitMember.project_id == project.id,
            SplitMember.era == project.era,
            # Late tasks of (a) are held out, and not asked about: it is frozen.
            sa.or_(SplitMember.role != "validation", SplitMember.late.is_(False)),
        )
        .group_by(SplitMember.role)
    )
    found = {role: {"size": int(size), "labelled": int(n)} for role, size, n in rows}
    return {role: found.get(role, {"size": 0, "labelled": 0}) for role in ROLES}


def _late(session: Session, project: Project) -> int:
    return int(
        session.scalar(
            sa.select(sa.func.count())
            .select_from(SplitMember)
            .where(
                SplitMember.project_id == project.id,
                SplitMember.era == project.era,
                SplitMember.role != "control",
                SplitMember.late,
            )
        )
        or 0
    )


def _outdated(project: Project, era: HoldoutEra) -> list[str]:
    """Settings that decided the draw and say something else by now."""
    asked_for = era.reports.get("asked_for") or {}
    return [name for name, value in asked_for.items() if project.config.get(name) != value]


def _changed(session: Session, project: Project, era: HoldoutEra) -> dict[str, int]:
    """Members whose content changed since the draw, that were deleted in Label Studio, or excluded
    by hand before anybody labelled them.
    """
    frozen = {task: content for task, _, content, _ in era.manifest}
    rows = session.execute(
        sa.select(Task.task_id, Task.content_hash, Task.deleted_at).where(
            Task.project_id == project.id,
            Task.task_id.in_(
                sa.select(SplitMember.task_id).where(
                    SplitMember.project_id == project.id, SplitMember.era == era.era
                )
            ),
        )
    ).all()
    there = {row.task_id: row for row in rows if row.task_id in frozen}
    deleted = {task for task, row in there.items() if row.deleted_at is not None}
    return {
        "deleted": len(deleted),
        "content": sum(
            (row.content_hash.hex() if row.content_hash else None) != frozen[task]
            for task, row in there.items()
            if task not in deleted
        ),
        "excluded": len(
            (read_rule_book(session, project.id).excluded & frozen.keys())
            - annotated_task_ids(session, project.id)
        ),
    }
