"""How a drawn test set compares with the pool it was drawn from, by fields and embeddings.

The draw itself looks, and is made again where it is less like the pool than most. Where the pool
was not embedded by then, the first round after it is compares by embeddings too, and says so; the
set is frozen by then.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.config import QueueConfig, parse_config
from backend.evaluation.covariates import Covariates, covariates
from backend.evaluation.representativeness import Representativeness, representativeness
from backend.rounds.context import ProjectContext
from backend.rounds.embedded import pool_embeddings
from backend.rounds.fields import Fields, column, living_tasks
from backend.rounds.named_test_set import named_test_set
from backend.rounds.numbering import Numbering, current_era, numbering
from backend.store.projects import record_event
from backend.store.tables import Project

SHOWN = 10
# A field with more different values than this share of the tasks is a name.
MOST_LEVELS_SHARE = 0.5


def pool_covariates(
    tasks: Sequence[Any], config: QueueConfig, embeddings: npt.NDArray[np.float32] | None
) -> Covariates:
    """What the tasks of a pool are compared by; embeddings (n, d) where they are known."""
    fields = {task.task_id: task.fields or {} for task in tasks}
    metadata = comparable_fields(fields, [task.task_id for task in tasks], config)
    found = covariates(metadata, embeddings)
    if not found.names:
        return Covariates((), np.zeros((len(tasks), 0), dtype=np.float32))
    return found


def comparable_fields(
    fields: Fields, task_ids: Sequence[int], config: QueueConfig
) -> dict[str, npt.NDArray[Any]]:
    """The fields that tasks are compared by; groups are drawn whole and say nothing more."""
    names = sorted({name for mine in fields.values() for name in mine} - {config.group_by})
    found = {}
    for name in names:
        values = column(fields, task_ids, name)
        if values is not None and not _names_tasks(values):
            found[name] = values
    return found


def _names_tasks(values: npt.NDArray[Any]) -> bool:
    """Whether a field names each task anew (an id, a file, a time): that is no property of it."""
    if values.dtype != object:
        values = values[~np.isnan(values)]
        if not np.array_equal(values, np.round(values)):
            return False  # what is measured differs from task to task
    return len(set(values.tolist())) > MOST_LEVELS_SHARE * len(values)


def keys_and_strata(how: Numbering, tasks: Sequence[Any]) -> tuple[list[str], list[str]]:
    """Each task's group, and its stratum: that of the group's oldest task, which later ones cannot
    change.
    """
    keys = [how.key(task.task_id, task.fields or {}) for task in tasks]
    first: dict[str, str] = {}
    for task, key in zip(tasks, keys, strict=True):
        first.setdefault(key, how.stratum(task.fields or {}))
    return keys, [first[key] for key in keys]


def fit_document(fit: Representativeness, redraws: int, by_embeddings: bool) -> dict[str, Any]:
    """The comparison as it is kept with the era."""
    return {
        "text": fit.text,
        "largest": fit.largest,
        "limit": fit.limit,
        "redraws": redraws,
        "by_embeddings": by_embeddings,
        "differences": [asdict(one) for one in fit.differences[:SHOWN]],
    }


def compare_once_embedded(context: ProjectContext) -> None:
    """Compare the test set by embeddings too, once the pool of its draw has them."""
    with context.database.read() as session:
        project = context.project()
        era = current_era(session, project)
        if era is None or project.holdout_drawn_at is None:
            return
        before = era.reports.get("representativeness")
        if before is None or before.get("by_embeddings", True):
            return
        last = era.reports["last_task"]
        tasks = [task for task in living_tasks(session, project.id) if task.task_id <= last]
        how = numbering(session, project)
        members = {int(row[0]) for row in era.manifest if row[1] == "test"}
    embeddings = pool_embeddings(context, [task.content_hash for task in tasks])
    if embeddings is None:
        return
    pool = pool_covariates(tasks, parse_config(project.config), embeddings)
    rows = np.array([n for n, task in enumerate(tasks) if task.task_id in members], dtype=np.int64)
    keys, strata = keys_and_strata(how, tasks)
    fit = representativeness(pool, rows, np.array(keys), np.array(strata))
    with context.database.write() as session:
        found = current_era(session, session.get_one(Project, project.id))
        if found is None or found.era != era.era:
            return
        document = fit_document(fit, before["redraws"], by_embeddings=True)
        found.reports = {**found.reports, "representativeness": document}
        # A named set is what it is.
        unlike = fit.redraw and named_test_set(session, project) is None
        advice = " It is frozen; `asknext holdout reset` draws another." if unlike else ""
        record_event(
            session,
            project.id,
            "warning" if unlike else "info",
            f"The pool is embedded: its test set is compared with it. {fit.text}{advice}",
        )
