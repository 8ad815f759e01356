"""A project's own labels: tested on its hold-outs and control, and nothing else."""

import numpy as np
import pytest

from backend.backtest.labelled_data import BacktestError
from backend.backtest.plan import Plan
from backend.backtest.project import project_data
from backend.backtest.runs import Run, make_runs
from backend.evaluation.holdout import permanent_random_number
from backend.rounds import queue
from backend.rounds.embed import embed
from backend.store.evaluation_tables import HoldoutEra
from tests.backend.text_project import TASK_IDS

PLAN = Plan(batch=5, budget=20)


@pytest.fixture
def held_out(text_project):
    text_project.hold_out(test=[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], validation=range(13, 25))
    return text_project


def test_hold_outs_test_and_never_train(held_out):
    held_out.annotate_truly(TASK_IDS)
    data = project_data(held_out.context())
    assert data.test.sum() == 24
    assert len(data) == len(TASK_IDS)
    assert "chosen by the project's strategies" in data.warnings[0]
    (outcome,) = make_runs(data, PLAN, [Run("margin", 0)])
    assert data.test[outcome.test].all()
    assert not data.test[outcome.picked].any()
    with held_out.database.read() as session:
        members = queue.roles(session, held_out.row())
    assert sum(role in ("test", "validation", "control") for role in members.values()) == 24


def test_only_the_answered_prefix_tests(held_out):
    """What came back beyond the first unanswered one is no random sample; it trains nothing."""
    secret = held_out.row().secret
    order = sorted(range(1, 13), key=lambda n: permanent_random_number(secret, str(n)))
    held_out.annotate_truly(set(TASK_IDS) - {order[9]})
    data = project_data(held_out.context())
    assert data.test.sum() == 9 + 12
    assert len(data) == len(TASK_IDS) - 3


def test_it_counts_as_a_look_at_the_test_set(held_out):
    held_out.annotate_truly(TASK_IDS)
    assert "(look 1)" in project_data(held_out.context()).warnings[1]
    with held_out.database.read() as session:
        assert session.get_one(HoldoutEra, (held_out.id, 1)).looks == 1


def test_properties_that_the_project_measures_can_be_tested(held_out):
    held_out.annotate_truly(TASK_IDS)
    with pytest.raises(BacktestError, match="configure the project"):
        make_runs(project_data(held_out.context()), PLAN, [Run("rare_properties", 0)])
    held_out.update(config=held_out.row().config | {"strategy": "rare_properties"})
    context = held_out.context()
    assert embed(context, seconds=60.0, report=lambda **_: None)
    data = project_data(context)
    assert np.isfinite(data.metadata["text:characters"]).all()
    (outcome,) = make_runs(data, PLAN, [Run("rare_properties", 0)])
    assert len(outcome.picked) == PLAN.budget


def test_a_project_without_labels_says_what_to_do(text_project):
    with pytest.raises(BacktestError, match="--data"):
        project_data(text_project.context())
