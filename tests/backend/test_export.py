"""The export: every label with how it was chosen; refused where a test task trained."""

import json

import pytest

from backend.errors import LeakError
from backend.export import check_for_leaks, exported
from backend.labelstudio import LabelStudio
from backend.rounds import queue
from backend.rounds.window import Position
from backend.store.tables import Project, Round, TrainingManifest
from tests.backend.text_project import LABEL_CONFIG, TASK_IDS, text_of, topic_of
from tests.backend.unreliable_labelstudio import PERSONAL_TOKEN, UnreliableLabelStudio


@pytest.fixture
def client():
    with UnreliableLabelStudio(LABEL_CONFIG) as server:
        for task_id in TASK_IDS:
            server.add_task(task_id, {"text": text_of(task_id), "site": "north"})
        for task_id in (1, 2, 3, 4, 5, 6):
            server.annotate(task_id, topic_of(task_id))
        with LabelStudio(server.url, PERSONAL_TOKEN, patience=0.0) as opened:
            yield opened


@pytest.fixture
def labelled(text_project):
    """Six labelled tasks: test, validation, control, a blind pick, a pick, an unplanned one."""
    text_project.hold_out(test=[1], validation=[2], control=[3])
    positions = [
        Position(0, "test", 1, "test"),
        Position(1, "validation", 2, "validation"),
        Position(2, "random", 3, "random", None, 1 / 58),
        Position(3, "strategy", 4, "margin", 0.5, rolling=True),
        Position(4, "strategy", 5, "random", None, None, {"inclusion_probability": 0.25}),
    ]
    with text_project.database.write() as session:
        project = session.get_one(Project, text_project.id)
        queue.stage(session, project, "v1", 1, list(enumerate(positions)))
        queue.put_in_force(text_project.database, session, project, "v1")
    text_project.annotate_truly([1, 2, 3, 4, 5, 6])
    text_project.annotate(1, topic_of(1), by=2)
    with text_project.database.write() as session:
        queue.resolve_answered(session, session.get_one(Project, text_project.id))
    return text_project


def rows(project, client):
    return {row["task"]: row for row in exported(project.database, client, project.row())}


def test_every_annotated_task_comes_with_label_split_and_provenance(labelled, client):
    found = rows(labelled, client)
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    assert {task: row["split"] for task, row in found.items()} == {
        1: "test",
        2: "validation",
        3: "control",
        4: "rolling",
        5: "train",
        6: "train",
    }
    assert {task: row["role"] for task, row in found.items()} == {
        1: "test",
        2: "validation",
        3: "random",
        4: "strategy",
        5: "strategy",
        6: "unplanned",
    }
    assert {task: row["strategy"] for task, row in found.items() if row["strategy"]} == {
        4: "margin",
        5: "random",
    }
    assert [row["label"] for row in found.values()] == [topic_of(task) for task in found]
    assert found[1]["data"] == {"text": text_of(1), "site": "north"}
    assert found[1]["annotators"] == [1, 2]
    assert found[1]["agreement"] == 1.0
    assert (found[1]["era"], found[1]["manifest"]) == (1, "d" * 64)
    json.dumps(list(found.values()))


def test_what_chance_chose_has_its_probability(labelled, client):
    found = rows(labelled, client)
    assert found[3]["probability"] == 1 / 58
    assert found[5]["probability"] == 0.25
    assert found[4]["probability"] is None


def test_it_refuses_where_a_test_task_trained(labelled):
    check_for_leaks(labelled.database, labelled.row())
    with labelled.database.write() as session:
        drawn = labelled.row().holdout_drawn_at
        for number, at, members in ((1, drawn - 9, [[1, 0]]), (2, drawn + 9, [[5, 1], [1, 0]])):
            session.add(Round(project_id=labelled.id, number=number, started_at=at))
            session.flush()
            session.add(
                TrainingManifest(
                    project_id=labelled.id, round=number, members=members, digest="", created_at=at
                )
            )
    with pytest.raises(LeakError, match=r"Round 2 was trained on 1 tasks of the test set \(1\)"):
        check_for_leaks(labelled.database, labelled.row())
