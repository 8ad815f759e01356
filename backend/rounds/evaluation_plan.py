"""What evaluation may ask for: the hold-outs that are asked about within the cap on its labels.

Which tasks are held out is decided for ever, by the draw; how many labels that costs changes with
the budget, the cap, and the tasks that arrive later. The cap wins: hold-outs are asked about in the
order of chance, as far as it reaches, and the figures are those of the prefix that is answered.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.budget import paid_annotations
from backend.config import parse_config
from backend.rounds.answered_prefix import in_order_of_chance
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.window import Family
from backend.store.tables import Annotation, Project


@dataclass(frozen=True)
class EvaluationPlan:
    """Labels are counted as the budget counts them.

    asked        hold-outs that are asked about, answered ones included, in their order
    not_asked    hold-outs that the cap leaves without a label
    never_train  what the first opinions on those asked cost
    labels       the same with the control, which trains later
    most         what evaluation may cost in all
    """

    asked: list[tuple[int, Family]]
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

    What was labelled before the budget began, or is a given truth, costs nothing. Of validation set
    (a) nothing is asked that came after the draw: it is frozen.
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
    members: list[tuple[int, Family]] = [
        *((task, "test") for task in in_order_of_chance(session, project, "test")),
        *(
            (task, "validation")
            for task in in_order_of_chance(session, project, "validation", late=False)
        ),
    ]
    room = max(most - control, 0) // opinions
    asked: list[tuple[int, Family]] = []
    costly = 0
    for task, role in interleaved(members):
        if task not in free:
            if costly >= room:
                continue
            costly += 1
        asked.append((task, role))
    never_train = costly * opinions
    return EvaluationPlan(
        asked, len(members) - len(asked), never_train, never_train + control, most
    )


def interleaved(holdouts: Sequence[tuple[int, Family]]) -> list[tuple[int, Family]]:
    """Both splits in turn, each in its order, until one is used up.

    Validation (a), the smaller one, is what every round reads (calibration, lift, stopping advice);
    the test set is for the end. In proportion, the first rounds would have hardly any of it.
    """
    seen: Counter[str] = Counter()
    ranked = []
    for order, (task_id, role) in enumerate(holdouts):
        ranked.append((seen[role], order, task_id, role))
        seen[role] += 1
    return [(task_id, role) for _, _, task_id, role in sorted(ranked)]
