"""The leak guard: what is too close to a hold-out neither trains nor is chosen by a strategy.

Too close is a task of a hold-out's group, one with the same content, and a direct near-duplicate by
the cosine of the embeddings. It is decided anew whenever it is asked, so that tasks and members
that arrive later change nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from backend.config import parse_config
from backend.evaluation.duplicate_threshold import threshold_from_random_pairs
from backend.evaluation.leak_guard import MOST_BLOCKED
from backend.evaluation.near_duplicates import ROUNDING, near_duplicates
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.fields import read_fields
from backend.rounds.numbering import Numbering, numbering
from backend.store.tables import Task

Reason = Literal["group", "identical", "near-duplicate"]
# Of fewer embedded rows a share says nothing.
FEWEST_TO_REFUSE = 50
# Rows of the pool whose pairs give the threshold.
SAMPLED = 4_000


@dataclass(frozen=True)
class Threshold:
    """The cosine in force; `rule` says where it comes from, `asked` what was refused."""

    cosine: float
    rule: str
    asked: float | None = None


@dataclass(frozen=True)
class LeakGuard:
    """What the hold-outs of the era are, and how near is too near."""

    how: Numbering
    groups: frozenset[str]
    hashes: frozenset[bytes]
    embeddings: npt.NDArray[np.float32]
    threshold: Threshold

    @classmethod
    def of(cls, context: ProjectContext) -> "LeakGuard":
        """The guard of the project as it is now, made once a job while nothing of it changes."""
        with context.database.read() as session:
            project = context.project()
            how = numbering(session, project)
            members = queue.holdout_roles(session, project).keys()
            asked = parse_config(project.config).near_duplicate_threshold
            made_from = (project.era, frozenset(members), asked, len(context.cache))
            if context.memo.get("leak guard made from") == made_from:
                made: LeakGuard = context.memo["leak guard"]
                return made
            fields = read_fields(session, project.id) if how.group_by else {}
            rows = session.execute(
                sa.select(Task.task_id, Task.content_hash)
                .where(Task.project_id == project.id, Task.deleted_at.is_(None))
                .order_by(Task.task_id)
            ).all()
        held = [row for row in rows if row.task_id in members]
        hashes = sorted({row.content_hash for row in held if row.content_hash})
        embedded = [
            h for h, known in zip(hashes, context.cache.contains(hashes), strict=True) if known
        ]
        dimension = context.encoder.dimension
        embeddings = (
            context.cache.get(embedded) if embedded else np.zeros((0, dimension), dtype=np.float32)
        )
        pool = sorted({row.content_hash for row in rows if row.content_hash} - set(hashes))
        guard = cls(
            how,
            frozenset(how.key(row.task_id, fields.get(row.task_id, {})) for row in held),
            frozenset(hashes),
            embeddings,
            _threshold(context, pool, embeddings, asked),
        )
        context.memo.update({"leak guard": guard, "leak guard made from": made_from})
        return guard

    def reasons(
        self,
        task_ids: Sequence[int],
        fields: Mapping[int, Mapping[str, Any]],
        hashes: Sequence[bytes],
        embeddings: npt.NDArray[np.floating] | None,
    ) -> list[Reason | None]:
        """Why each of these tasks is blocked, None where it is not.

        fields      of the tasks, by id; needed where the era has groups
        embeddings  (n, d), None where they are not known yet
        """
        found: list[Reason | None] = [None] * len(task_ids)
        if embeddings is not None and len(self.embeddings) and len(embeddings):
            near = near_duplicates(embeddings, self.embeddings, self.threshold.cosine)
            for row in near.rows.tolist():
                found[row] = "near-duplicate"
        for index, (task_id, content) in enumerate(zip(task_ids, hashes, strict=True)):
            if content and content in self.hashes:
                found[index] = "identical"
            if self.how.group_by and self.how.key(task_id, fields.get(task_id, {})) in self.groups:
                found[index] = "group"
        return found


def report(guard: LeakGuard, reasons: Sequence[Reason | None], open_tasks: int) -> dict[str, Any]:
    """What the guard blocks of the tasks that are open to training, for the round's record."""
    by = Counter(reason for reason in reasons if reason is not None)
    blocked = sum(by.values())
    return {
        "blocked": blocked,
        "share": blocked / open_tasks if open_tasks else 0.0,
        "by": dict(by),
        "threshold": guard.threshold.cosine,
        "rule": guard.threshold.rule,
        "refused": guard.threshold.asked,
    }


def _threshold(
    context: ProjectContext,
    pool: list[bytes],
    held: npt.NDArray[np.float32],
    asked: float | None,
) -> Threshold:
    """That of the random pairs, or the one asked for, raised where it blocked too much."""
    known = context.cache.contains(pool)
    embedded = [h for h, there in zip(pool, known, strict=True) if there]
    if not len(held) or not embedded:
        return Threshold(asked if asked is not None else 1.0, "nothing is embedded yet")
    step = max(1, len(embedded) // SAMPLED)
    sample = context.cache.get(embedded[::step])
    if asked is not None:
        cosine, rule = asked, "configured"
    else:
        found = threshold_from_random_pairs(sample, seed=0, holdout_size=len(held))
        cosine, rule = found.cosine, found.rule
    # A configured threshold that would block too much is refused, and the next that does not is
    # taken. The one by random pairs stays, for what reaches it are copies.
    if asked is None or len(sample) < FEWEST_TO_REFUSE:
        return Threshold(cosine, rule)
    near = near_duplicates(sample, held, cosine)
    if len(near.rows) <= MOST_BLOCKED * len(sample):
        return Threshold(cosine, rule)
    # Just above the most similar row that may not be blocked any more.
    ranked = np.sort(near.cosines)[::-1]
    raised = float(ranked[int(MOST_BLOCKED * len(sample))]) + 4 * ROUNDING
    return Threshold(min(raised, 1.0), f"{rule}, raised", asked=cosine)
