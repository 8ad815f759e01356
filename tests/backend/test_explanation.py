"""Every task has an explanation, queued or not."""

import time

import pytest

from backend.errors import RequestError
from backend.explanation import explain
from backend.store.tables import ContentFailure, Pick
from tests.backend.rounds.test_rules import put


def pick(project, task, **values):
    row = {
        "version": "asknext-x-q1.1", "position": task, "ordinal": task, "round": 1,
        "family": "strategy", "branch": "margin", "blind": False, "state": "queued",
        "created_at": time.time(),
    }  # fmt: skip
    with project.database.write() as session:
        session.add(Pick(project_id=project.id, task_id=task, **{**row, **values}))


def explained(project, task):
    return explain(project.database, project.row(), task)


def test_a_queued_task_has_its_scores_its_place_and_a_sentence(trained):
    pick(trained, 31, score=0.75, details={"predicted": "cooking", "confidence": 0.5})
    document = explained(trained, 31)
    assert document["state"] == "queued"
    assert document["branch"] == "margin"
    assert document["score"] == 0.75
    assert document["details"]["predicted"] == "cooking"
    assert document["sentence"].startswith("margin chose it")


def test_a_random_task_has_its_inclusion_probability(trained):
    pick(trained, 31, family="random", branch="random", probability=0.02, blind=True)
    document = explained(trained, 31)
    assert document["inclusion_probability"] == 0.02
    assert "drawn at random" in document["sentence"]


def test_a_pinned_task_names_its_tab(trained):
    put(trained, ("pin", 1, [31]))
    pick(trained, 31, branch="pin")
    document = explained(trained, 31)
    assert document["rules"] == [{"title": "pin", "kind": "pin"}]
    assert "pinned by the tab 'pin'" in document["sentence"]


def test_an_answered_task_keeps_the_reason_of_its_last_place(trained):
    pick(trained, 1, state="superseded", branch="entropy")
    pick(trained, 1, state="resolved", version="asknext-x-q1.2")
    document = explained(trained, 1)
    assert document["state"] == "answered"
    assert document["branch"] == "margin"


def test_the_place_in_force_counts_before_a_later_superseded_one(trained):
    pick(trained, 31, score=1.0)
    pick(trained, 31, state="superseded", version="asknext-x-q1.0", branch="entropy")
    assert explained(trained, 31)["branch"] == "margin"


def test_a_task_that_is_not_queued_says_why(trained):
    trained.update(queue_version="asknext-x-q1.1", round_number=1)
    trained.hold_out(test=[40])
    put(trained, ("exclude", 1, [41]))
    with trained.database.write() as session:
        session.add(
            ContentFailure(
                project_id=trained.id, task_id=42, message="no such file", retry_at=time.time()
            )
        )
    assert "waits in the pool" in explained(trained, 43)["sentence"]
    assert "test set" in explained(trained, 40)["sentence"]
    assert explained(trained, 41)["state"] == "closed"
    assert "'exclude' excludes it" in explained(trained, 41)["sentence"]
    assert "no such file" in explained(trained, 42)["sentence"]
    assert explained(trained, 1)["state"] == "answered"


def test_an_unknown_task_is_refused_with_its_number(trained):
    with pytest.raises(RequestError, match="no task 999"):
        explained(trained, 999)


@pytest.mark.parametrize("number", [0, -1, 2**31, 10**30])
def test_a_number_that_no_task_can_have_is_refused_likewise(trained, number):
    with pytest.raises(RequestError, match="no task"):
        explained(trained, number)
