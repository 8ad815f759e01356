"""The data of a backtest on a project: its labelled tasks, tested on its hold-outs alone."""

import numpy as np

from backend.backtest.labelled_data import BacktestError, LabelledData, metadata_column
from backend.evaluation.holdout import ROLES
from backend.holdouts import count_look
from backend.rounds import queue
from backend.rounds.answered_prefix import answered_prefix
from backend.rounds.context import ProjectContext
from backend.rounds.fields import groups, read_fields
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.train import labelled_tasks, leaking, measured_tasks

LEAST_TEST_ITEMS = 20
CHOSEN = (
    "The labels to learn from were chosen by the project's strategies, not at random: what is true "
    "here need not be true of the pool that they were chosen from. The test items were drawn at "
    "random."
)


def project_data(context: ProjectContext) -> LabelledData:
    """The project's labelled and embedded tasks; test, validation (a) and control members test.

    Of these only the answered prefixes, which are random samples. What the leak guard keeps from
    training is left out. The curves show the sealed test set: that counts as a look at it.

    Raises BacktestError where too few are labelled.
    """
    with context.database.read() as session:
        project = context.project()
        members = queue.roles(session, project).keys()
        random: frozenset[int] = frozenset().union(
            *(answered_prefix(session, project, role).answered for role in ROLES)
        )
        fields = read_fields(session, context.project_id)
        annotated = annotated_task_ids(session, context.project_id)
    held_out = measured_tasks(context, random)
    training = labelled_tasks(context, annotated - members)
    training = training.of([reason is None for reason in leaking(context, training)])
    if len(held_out.labels) < LEAST_TEST_ITEMS:
        raise BacktestError(
            f"The project has {len(held_out.labels)} labelled hold-out and control "
            f"tasks to test on; wait until {LEAST_TEST_ITEMS} are, or give a labelled file with "
            "--data."
        )
    note = count_look(context.database, context.project())
    ids = [*training.task_ids, *held_out.task_ids]
    hashes = [*training.hashes, *held_out.hashes]
    measured = {} if context.properties is None else context.properties.columns(hashes)
    name = context.config.group_by
    names = sorted({column for task in ids for column in fields.get(task, {})})
    return LabelledData(
        np.concatenate([training.embeddings, held_out.embeddings]).astype(np.float32),
        np.concatenate([training.labels, held_out.labels]),
        context.schema.classes,
        np.array([key.hex() for key in hashes]),
        None if name is None else groups(fields, ids, name),
        measured
        | {
            column: metadata_column([fields.get(task, {}).get(column) for task in ids])
            for column in names
        },
        np.arange(len(ids)) >= len(training.task_ids),
        (CHOSEN, note),
    )
