"""What evaluation may ask for: the hold-outs that are asked about within the cap on its labels.

Which tasks are held out is decided for ever, by the draw; how many labels that costs changes with
the budget, the cap, and the tasks that arrive later. The cap wins: hold-outs are asked about in the
order of chance, by whole groups, as far as it reaches, and the figures are those of the prefix that
is answered.
"""

from collections import deque
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.budget import paid_annotations
from backend.config import parse_config
from backend.evaluation.holdout import TEST_SHARE
from backend.rounds.answered_prefix import groups_in_order
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.window import Family
from backend.store.tables import Annotation, Project


@dataclass(frozen=True)
class EvaluationPlan:
    """Labels are counted as the budget counts them.

    asked        hold-outs that are asked about, answered ones included, in their order
    test_groups  how many of the test tasks among them each group has
    not_asked    hold-outs that the cap leaves without a label
    never_train  what the first opinions on those asked cost
    labels       the same with the control, which trains later
    most         what evaluation may cost in all
    """

    asked: list[tuple[int, Family]]
    test_groups: list[int]
    not_asked: int
    never_train: int
    labels: int
    most: int

    @property
    def left(self) -> int:
        """Labels that the cap leaves for second opinions."""
        return max(self.most - self.labels, 0)


def evaluation_plan(session: Session, project: Project) -> EvaluationPlan:
    """The plan by the configuration in force.

    Test and validation (a) are asked about in turn, a group each, until one is used up: every round
    reads (a), the smaller one, and in proportion the first rounds would have hardly any of it. A
    part ends at its first group that does not fit: to go on with smaller ones would be to choose by
    size. The test set also ends where it has cost a fifth of the budget. What was labelled before
    the budget began, or is a given truth, costs nothing. Of (a) nothing is asked that came after
    the draw: it is frozen.
    """
    config = parse_config(project.config)
    most = int(config.evaluation_cap * config.budget)
    control = round(config.random_share * config.budget)
    opinions = max(project.overlap, 1)
    paid = set(
        session.scalars(
            sa.select(Annotation.task_id).where(*paid_annotations(session, project.id)).distinct()
        )
    )
    free = annotated_task_ids(session, project.id) - paid
    waiting: dict[Family, deque[list[int]]] = {
        "test": deque(groups_in_order(session, project, "test")),
        "validation": deque(groups_in_order(session, project, "validation", late=False)),
    }
    members = sum(len(group) for groups in waiting.values() for group in groups)
    room = max(most - control, 0) // opinions
    room_of_test = int(TEST_SHARE * config.budget) // opinions
    asked: list[tuple[int, Family]] = []
    test_groups: list[int] = []
    costs: dict[Family, int] = {"test": 0, "validation": 0}
    while any(waiting.values()):
        for role in costs:
            if not waiting[role]:
                continue
            group = waiting[role].popleft()
            cost = len(set(group) - free)
            full = cost > 0 and (
                sum(costs.values()) + cost > room
                or (role == "test" and costs["test"] >= room_of_test)
            )
            if full:
                waiting[role].clear()
                continue
            costs[role] += cost
            asked += [(task, role) for task in group]
            if role == "test":
                test_groups.append(len(group))
    never_train = sum(costs.values()) * opinions
    return EvaluationPlan(
        asked, test_groups, members - len(asked), never_train, never_train + control, most
    )
