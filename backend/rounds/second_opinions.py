"""Asking another annotator about a task that somebody has labelled: the test set, part of the
random control, and ties.

Label Studio serves a task to as many people as the task's own `overlap` says. It may be raised
task by task, and the order of the queue stays as it is (only a *project's* overlap above 1 puts
tasks in progress first). Nothing is asked again while there is nobody else to answer.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.config import parse_config
from backend.evaluation.agreement import cohens_kappa
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.evaluate import group_keys
from backend.rounds.evaluation_plan import EvaluationPlan, evaluation_plan
from backend.rounds.labels import votes_of
from backend.rounds.named_test_set import named_test_set
from backend.rounds.rules import read_rule_book
from backend.rounds.window import coin
from backend.store.evaluation_tables import SplitMember
from backend.store.tables import Annotation, Label, Project, Task

# Of a window, the most that is asked again at a time: who answers sees little of it.
REPEATED_SHARE = 0.1
# A tie of that many people stays unsettled: it is no matter of chance.
MOST_OPINIONS = 3


@dataclass(frozen=True)
class Repeat:
    """A labelled task that is to be served until that many people have labelled it."""

    task_id: int
    opinions: int


def repeats(session: Session, project: Project, queued: Collection[int] = ()) -> list[Repeat]:
    """The tasks to ask somebody else about now, ties first; never one that is `queued`."""
    config = parse_config(project.config)
    opinions = _opinions(session, project.id)
    heard = _opinions(session, project.id, skips=True)
    people = {one for mine in opinions.values() for one in mine}
    tied = _tied(session, project.id)
    wanted = {task: len(opinions[task]) + 1 for task in sorted(tied) if task in opinions}
    # A project that asks several people about every task does so by itself.
    if project.overlap <= 1:
        for task in asked_twice(session, project):
            wanted.setdefault(task, 2)
    closed = set(queued) | read_rule_book(session, project.id).excluded
    gone = set(
        session.scalars(
            sa.select(Task.task_id).where(
                Task.project_id == project.id, Task.deleted_at.is_not(None)
            )
        )
    )
    most = max(1, int(REPEATED_SHARE * config.window))
    found = [
        Repeat(task, count)
        for task, count in wanted.items()
        if 0 < len(opinions.get(task, ())) < count <= MOST_OPINIONS
        # Somebody who labels is left who has not seen it: who skipped it is not asked again.
        and people - heard[task]
        and len(heard[task]) < MOST_OPINIONS
        and task not in closed
        and task not in gone
    ]
    return found[:most]


def unanswered_repeats(session: Session, project: Project) -> set[int]:
    """Of the tasks whose overlap was raised before, those that still have one label too few."""
    before = project.restore.get("raised") or []
    if not before:
        return set()
    opinions = _opinions(session, project.id)
    tied = _tied(session, project.id)
    return {task for task in before if task in tied or len(opinions.get(task, ())) < 2}


def asked_twice(
    session: Session, project: Project, plan: EvaluationPlan | None = None
) -> list[int]:
    """The tasks of which two people are asked, as many as `evaluation_cap` leaves beside everything
    that is measured once.
    """
    plan = plan or evaluation_plan(session, project)
    return wanted_twice(session, project, plan)[: plan.left]


def wanted_twice(session: Session, project: Project, plan: EvaluationPlan) -> list[int]:
    """All of the test set, then a part of the control; which part is decided by a coin for each
    task, so that neither labels nor scores have a say.
    """
    config = parse_config(project.config)
    if config.double_share == 0:
        return []
    named = named_test_set(session, project)
    # A given truth needs no second opinion.
    asked = [] if named is not None and named.ground_truth else plan.asked
    control = session.scalars(
        sa.select(SplitMember.task_id)
        .where(
            SplitMember.project_id == project.id,
            SplitMember.era == project.era,
            SplitMember.role == "control",
        )
        .order_by(SplitMember.u, SplitMember.task_id)
    )
    return [
        *(task for task, role in asked if role == "test"),
        *(
            task
            for task in control
            if coin(project.secret, f"second opinion {task}") < config.double_share
        ),
    ]


def second_opinion_labels(
    session: Session, project: Project, plan: EvaluationPlan
) -> tuple[int, int]:
    """The labels beyond each task's first that measuring has cost, and will have cost in the end.

    None are to come while one person labels alone, nor apart where the project asks several people
    about every task.
    """
    opinions = _opinions(session, project.id)
    spent = _repeated(opinions, queue.roles(session, project))
    if project.overlap > 1:
        return spent, 0
    if len({one for mine in opinions.values() for one in mine}) < 2:
        return spent, spent
    return spent, max(spent, len(asked_twice(session, project, plan)))


def second_opinion_figures(context: ProjectContext) -> dict[str, Any]:
    """How far people agree on test and control: the ceiling beside the model's own figures.

    The first two annotators of a task are compared, whatever a third said after them.
    """
    with context.database.read() as session:
        project = context.project()
        roles = queue.roles(session, project)
        opinions = _opinions(session, project.id)
        people = {one for mine in opinions.values() for one in mine}
        plan = evaluation_plan(session, project)
        planned = asked_twice(session, project, plan) if len(people) > 1 else []
        wanted = len(wanted_twice(session, project, plan)) if len(people) > 1 else 0
        asked = sorted(task for task in roles if len(opinions.get(task, ())) > 1)
        heard = votes_of(session, project, asked)
        pairs = {}
        for task in asked:
            said: dict[Any, str] = {}
            for vote in heard[task]:
                if vote.label is not None and not vote.cancelled:
                    said.setdefault(vote.annotator, vote.label)
            if len(said) > 1:
                pairs[task] = tuple(said.values())[:2]
        tasks = [task for task in pairs if roles[task] != "validation"]
        groups = group_keys(session, project, tasks)
        repeated = _repeated(opinions, roles)
    first = np.array([pairs[task][0] for task in tasks], dtype=np.str_)
    second = np.array([pairs[task][1] for task in tasks], dtype=np.str_)
    return {
        "wanted": wanted,
        "planned": len(planned),
        "answered": len(set(planned) & set(pairs)),
        "repeated_labels": repeated,
        "agreement": asdict(cohens_kappa(first, second, groups)),
    }


def _repeated(opinions: Mapping[int, Collection[int]], tasks: Collection[int]) -> int:
    return sum(len(opinions[task]) - 1 for task in tasks if task in opinions)


def _tied(session: Session, project_id: int) -> set[int]:
    return set(
        session.scalars(
            sa.select(Label.task_id).where(Label.project_id == project_id, Label.status == "tie")
        )
    )


def _opinions(session: Session, project_id: int, *, skips: bool = False) -> dict[int, set[int]]:
    """The people who labelled each task; with `skips` those too who skipped it."""
    found: dict[int, set[int]] = defaultdict(set)
    wanted = [Annotation.project_id == project_id, Annotation.deleted_at.is_(None)]
    if not skips:
        wanted.append(Annotation.cancelled.is_(False))
    for row in session.execute(
        sa.select(Annotation.task_id, Annotation.completed_by)
        .where(*wanted, Annotation.completed_by.is_not(None))
        .distinct()
    ):
        found[row.task_id].add(row.completed_by)
    return dict(found)
