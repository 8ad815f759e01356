"""What a near-duplicate threshold blocks: how much, how far from the rest, and examples of pairs.

Asked for by an admin who wants to set `near_duplicate_threshold`: the pairs just above and just
below it show where copies end and neighbours begin.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from backend.evaluation.covariates import Covariates, covariates
from backend.evaluation.duplicate_threshold import threshold_from_random_pairs
from backend.evaluation.leak_guard import assess_blocking
from backend.evaluation.near_duplicates import near_duplicates
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.draw_fit import comparable_fields
from backend.rounds.embedded import embedded_tasks
from backend.rounds.fields import read_fields
from backend.rounds.leak_guard import SAMPLED, LeakGuard
from backend.store.tables import Task

# Pairs shown on each side of the threshold, and how far below it they are looked for.
SHOWN = 10
BELOW = 0.15
CHARACTERS = 160
# Rows by whose covariates the blocked ones are compared with the rest.
COMPARED = 20_000


def near_examples(context: ProjectContext, threshold: float | None = None) -> dict[str, Any]:
    """The threshold in force, or another one: what it would block, in words and in examples.

    `by_data` is the threshold that follows from random pairs of this pool. Tasks of a hold-out's
    group and exact copies are blocked whatever the threshold is.
    """
    guard = LeakGuard.of(context)
    cosine = guard.threshold.cosine if threshold is None else threshold
    with context.database.read() as session:
        project = context.project()
        members = queue.holdout_roles(session, project)
        fields = read_fields(session, project.id)
    embedded = embedded_tasks(context)
    held = [task for task in embedded if task in members]
    tasks = [task for task in embedded if task not in members]
    if not held or not tasks:
        return {"threshold": cosine, "text": "Nothing is embedded yet.", "examples": []}
    hashes = [embedded[task] for task in tasks]
    embeddings = context.cache.get(hashes)
    of_held = context.cache.get([embedded[task] for task in held])
    reasons = guard.reasons(tasks, fields, hashes, None)
    always = np.flatnonzero([reason is not None for reason in reasons])
    near = near_duplicates(embeddings, of_held, max(cosine - BELOW, 1e-6))
    reached = near.cosines >= cosine
    rows = np.union1d(near.rows[reached], always)
    pool, place = comparison(context, tasks, embeddings, rows)
    found = assess_blocking(
        place[near.rows[reached]], near.cosines[reached], cosine, pool, place[always]
    )
    sample = embeddings[:: max(1, len(tasks) // SAMPLED)]
    by_data = threshold_from_random_pairs(sample, seed=0, holdout_size=len(held))
    order = np.argsort(near.cosines, kind="stable")
    first = int(np.searchsorted(near.cosines[order], cosine))
    shown = order[max(first - SHOWN, 0) : first + SHOWN][::-1]
    values = _values(context, [*(tasks[near.rows[n]] for n in shown), *held])
    return {
        "threshold": cosine,
        "by_data": by_data.cosine,
        "blocked": len(rows),
        "share": len(rows) / len(tasks),
        "shift": None if found.shift is None else asdict(found.shift),
        "passing": found.passing,
        "text": found.text,
        "examples": [
            {
                "cosine": float(near.cosines[n]),
                "blocked": bool(near.cosines[n] >= cosine),
                "task": tasks[near.rows[n]],
                "value": values.get(tasks[near.rows[n]]),
                "holdout": held[near.nearest[n]],
                "holdout_value": values.get(held[near.nearest[n]]),
            }
            for n in shown
        ],
    }


def comparison(
    context: ProjectContext,
    tasks: Sequence[int],
    embeddings: npt.NDArray[np.float32],
    kept: npt.NDArray[np.int64],
) -> tuple[Covariates, npt.NDArray[np.int64]]:
    """Covariates of at most 20,000 of these tasks, the `kept` rows among them.

    returns the covariates, and for each task its row there, -1 where it is left out
    """
    chosen = np.union1d(kept, np.linspace(0, len(tasks) - 1, COMPARED).round().astype(np.int64))
    with context.database.read() as session:
        fields = read_fields(session, context.project_id)
    metadata = comparable_fields(fields, [tasks[row] for row in chosen], context.config)
    place = np.full(len(tasks), -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    return covariates(metadata, embeddings[chosen]), place


def _values(context: ProjectContext, task_ids: Sequence[int]) -> dict[int, str]:
    wanted = set(task_ids)
    with context.database.read() as session:
        rows = session.execute(
            sa.select(Task.task_id, Task.value).where(Task.project_id == context.project_id)
        ).all()
    return {
        row.task_id: " ".join(str(row.value).split())[:CHARACTERS]
        for row in rows
        if row.task_id in wanted and row.value
    }
