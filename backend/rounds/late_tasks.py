"""Tasks that came after the draw: whether the test set still represents the pool, and with what."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from backend.evaluation.drift import drift
from backend.evaluation.supplement import Frame, supplemented_figure
from backend.models.artefact import Model
from backend.rounds.answered_prefix import answered_prefix
from backend.rounds.context import ProjectContext
from backend.rounds.draw_fit import comparable_fields
from backend.rounds.embedded import embedded_tasks
from backend.rounds.evaluate import group_keys, hits_on
from backend.rounds.fields import read_fields
from backend.rounds.inclusion import inclusion_probabilities
from backend.rounds.numbering import current_era, living_members
from backend.rounds.train import measured_tasks
from backend.store.evaluation_tables import HoldoutEra, SplitMember
from backend.store.tables import Project

# With fewer late tasks there is nothing to tell.
FEWEST = 30
# Of each side at most so many are compared.
MOST = 20_000


def drift_report(context: ProjectContext) -> dict[str, Any] | None:
    """Old tasks against late ones, None while hardly any came late."""
    old, late, hashes = _frames(context)
    if len(late) < FEWEST:
        return None
    with context.database.read() as session:
        project = context.project()
        fields = read_fields(session, project.id)
        kept = {"old": _spread(old), "late": _spread(late)}
        groups = {side: group_keys(session, project, tasks) for side, tasks in kept.items()}
    both = comparable_fields(fields, [*kept["old"], *kept["late"]], context.config)
    metadata = {
        "old": {name: values[: len(kept["old"])] for name, values in both.items()},
        "late": {name: values[len(kept["old"]) :] for name, values in both.items()},
    }
    embeddings = {
        side: context.cache.get([hashes[task] for task in tasks]) for side, tasks in kept.items()
    }
    found = drift(
        len(old),
        len(late),
        embeddings["old"],
        embeddings["late"],
        metadata["old"],
        metadata["late"],
        groups["old"],
        groups["late"],
    )
    return asdict(found)


def supplemented(context: ProjectContext, model: Model) -> dict[str, Any] | None:
    """The test figure of the frozen set and of late members, apart and together; sealed too.

    The late ones stand for the tasks of the arrivals that the answered prefix has reached, each
    member for one over the chance that it had of being there; `not_reached` counts the others.
    """
    old, late, _ = _frames(context)
    with context.database.read() as session:
        project = context.project()
        era = current_era(session, project)
        arrivals = _arrivals(session, project)
        if era is None or not late or not arrivals:
            return None
        frozen, reached = (
            answered_prefix(session, project, "test", late=is_late) for is_late in (False, True)
        )
        joined = inclusion_probabilities(session, project, era)
    chances = _chances(joined, arrivals, reached.answered)
    last = _last_task(era, arrivals, reached.answered)
    covered = sum(task <= last for task in late)
    parts = []
    for answered, size in ((frozen.answered, len(old)), (reached.answered, covered)):
        tasks = measured_tasks(context, answered)
        with context.database.read() as session:
            groups = group_keys(session, context.project(), tasks.task_ids)
        given = np.array([chances.get(task, 0.0) for task in tasks.task_ids])
        weights = 1.0 / given if len(given) and given.all() else None
        parts.append(Frame(max(size, 1), hits_on(model, tasks), groups, weights))
    return {**asdict(supplemented_figure(*parts)), "not_reached": len(late) - covered}


def _arrivals(session: Session, project: Project) -> dict[float, dict[int, float]]:
    """The living late test members by the moment when they joined, with their groups' numbers."""
    found: dict[float, dict[int, float]] = {}
    columns = (SplitMember.task_id, SplitMember.u, SplitMember.drawn_at)
    for row in session.execute(
        living_members(project, "test", *columns).where(SplitMember.late.is_(True))
    ):
        found.setdefault(row.drawn_at, {})[row.task_id] = row.u
    return found


def _chances(
    joined: Mapping[int, float],
    arrivals: Mapping[float, Mapping[int, float]],
    answered: Collection[int],
) -> dict[int, float]:
    """The chance of each answered late member: to have joined, and to be among the first of its
    arrival.

    The prefix ends somewhere within an arrival, of which it holds the first groups in the order of
    chance: a random part.
    """
    found = {}
    for members in arrivals.values():
        there = [task for task in members if task in answered]
        part = len({members[task] for task in there}) / len(set(members.values()))
        found.update({task: joined[task] * part for task in there if task in joined})
    return found


def _last_task(
    era: HoldoutEra, arrivals: Mapping[float, Mapping[int, float]], answered: Collection[int]
) -> int:
    """The last task of the arrivals that are answered in part at least, 0 where none is."""
    kept = era.reports.get("late_rates", [])
    ends = {arrival["at"]: arrival.get("last_task", 0) for arrival in kept}
    return max(
        (
            max(ends.get(at, 0), *members)
            for at, members in arrivals.items()
            if any(task in answered for task in members)
        ),
        default=0,
    )


def _frames(context: ProjectContext) -> tuple[list[int], list[int], dict[int, bytes]]:
    """The embedded tasks that were there at the draw, those that came later, their contents."""
    with context.database.read() as session:
        project = context.project()
        era = current_era(session, project)
    last = era.reports.get("last_task") if era is not None else None
    if last is None:
        return [], [], {}
    tasks = embedded_tasks(context)
    # Label Studio numbers tasks in the order in which they come.
    old = [task for task in tasks if task <= last]
    late = [task for task in tasks if task > last]
    return old, late, tasks


def _spread(tasks: list[int]) -> list[int]:
    return tasks if len(tasks) <= MOST else [tasks[n] for n in _evenly(len(tasks))]


def _evenly(count: int) -> list[int]:
    return [int(place) for place in np.linspace(0, count - 1, MOST).round()]
