"""The leak guard: planted copies, near-copies and patients of hold-outs, early and late."""

import numpy as np
import pytest

from backend.rounds import mirror, queue
from backend.rounds.embed import embed
from backend.rounds.holdout import assign_late_tasks, draw_splits
from backend.rounds.leak_guard import LeakGuard
from backend.rounds.rank import Ranker
from backend.rounds.train import training_tasks
from backend.store.tables import Project
from tests.backend.rounds.test_rules import put
from tests.backend.text_project import TASK_IDS, text_of


@pytest.fixture
def write(text_project):
    """Tasks as Label Studio shows them; fields beside the text name their patients."""

    def run(tasks):
        with text_project.database.write() as session:
            mirror.write_tasks(
                text_project.database,
                session,
                session.get_one(Project, text_project.id),
                [{"id": n, "data": data} for n, data in tasks.items()],
            )
            assign_late_tasks(
                text_project.database, session, session.get_one(Project, text_project.id)
            )
        embed(text_project.context(), seconds=60.0, report=lambda **_: None)

    return run


def configure(project, **changes):
    project.update(config={**project.row().config, **changes})


def chosen(project):
    ranker = Ranker(project.context(), project.context().live_model(), 2)
    found = {choice.task_id for choice in ranker.choose(500, frozenset())}
    assert not found & ranker.blocked()
    return found


def trained(project):
    return set(training_tasks(project.context(), 1).task_ids)


def test_a_copy_of_a_holdout_neither_trains_nor_is_chosen(text_project, write):
    text_project.hold_out(test=[1], validation=[2])
    write({101: {"text": text_of(1)}, 102: {"text": text_of(2)}, 103: {"text": "Hail."}})
    text_project.annotate_truly(range(3, 30))
    for task_id in (101, 103):
        text_project.annotate(task_id, "weather")
    assert trained(text_project) == {*range(3, 30), 103}
    text_project.train_round(1)
    assert chosen(text_project) == set(range(30, 61))


def test_a_near_copy_neither_trains_nor_is_chosen(text_project, write):
    text_project.hold_out(test=[1])
    write({101: {"text": f"{text_of(1)} {text_of(1)}"}})
    context = text_project.context()
    vectors = context.cache.get([mirror.content_hash(t) for t in
                                 (text_of(1), f"{text_of(1)} {text_of(1)}")])  # fmt: skip
    cosine = float(
        vectors[0] @ vectors[1] / np.linalg.norm(vectors[0]) / np.linalg.norm(vectors[1])
    )
    assert cosine > 0.999
    text_project.annotate_truly(range(3, 30))
    text_project.annotate(101, "weather")
    assert 101 not in trained(text_project)
    text_project.train_round(1)
    assert 101 not in chosen(text_project)


def test_the_groups_of_a_named_test_set_are_closed(text_project, write):
    """Named by task, so that it splits patients: their other slices are blocked."""
    configure(text_project, group_by="patient", test_set={"tasks": [1, 4]})
    write({n: {"text": text_of(n), "patient": f"p{(n - 1) // 3}"} for n in TASK_IDS})
    with text_project.database.write() as session:
        draw_splits(text_project.database, session, session.get_one(Project, text_project.id))
    text_project.annotate_truly(range(1, 31))
    with text_project.database.read() as session:
        roles = queue.roles(session, text_project.row())
    closed = {1, 2, 3, 4, 5, 6}
    assert trained(text_project) == set(range(1, 31)) - closed - roles.keys()
    # A slice that arrives later too.
    write({200: {"text": "A late slice of the second patient.", "patient": "p1"}})
    text_project.annotate(200, "weather")
    assert 200 not in trained(text_project)
    text_project.train_round(1)
    assert not closed & chosen(text_project)


def test_what_arrives_later_is_guarded_whichever_came_first(text_project, write):
    text_project.annotate_truly(range(1, 30))
    write({101: {"text": text_of(5)}})
    text_project.hold_out(test=[101])
    # Task 5 was labelled before; it never trains again.
    assert trained(text_project) == set(range(1, 30)) - {5}


def test_a_threshold_that_would_block_too_much_is_refused_and_raised(text_project):
    text_project.hold_out(test=[1, 2, 3])
    configure(text_project, near_duplicate_threshold=0.05)
    guard = LeakGuard.of(text_project.context())
    assert guard.threshold.asked == 0.05
    assert "raised" in guard.threshold.rule
    hashes = [mirror.content_hash(text_of(n)) for n in range(4, 61)]
    embeddings = text_project.context().cache.get(hashes)
    reasons = guard.reasons(list(range(4, 61)), {}, hashes, embeddings)
    assert 0 < sum(reason is not None for reason in reasons) <= 5


def test_a_pin_is_labelled_all_the_same(text_project, write):
    text_project.hold_out(test=[1])
    write({101: {"text": text_of(1)}})
    text_project.annotate_truly(range(3, 30))
    text_project.train_round(1)
    put(text_project, ("pin", 1, [101]))
    assert 101 in chosen(text_project)
    text_project.annotate(101, "weather")
    assert 101 not in trained(text_project)
