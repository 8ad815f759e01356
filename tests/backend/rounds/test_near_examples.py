"""What a near-duplicate threshold blocks, shown before an admin sets it."""

import json

import pytest

from backend.rounds.embed import embed
from backend.rounds.near_examples import near_examples
from backend.store.tables import Project
from tests.backend.text_project import text_of

COPY, NEAR = 101, 102


@pytest.fixture
def project(text_project):
    """Hold-outs 1 to 6; task 101 is a copy of task 1, task 102 nearly one of task 2."""
    from backend.rounds import mirror

    text_project.hold_out(test=[1, 2, 3], validation=[4, 5, 6])
    data = {COPY: text_of(1), NEAR: f"{text_of(2)} Indeed."}
    with text_project.database.write() as session:
        mirror.write_tasks(
            text_project.database,
            session,
            session.get_one(Project, text_project.id),
            [{"id": n, "data": {"text": text}} for n, text in data.items()],
        )
    embed(text_project.context(), seconds=60.0, report=lambda **_: None)
    return text_project


def pair_of(found, task):
    return next(pair for pair in found["examples"] if pair["task"] == task)


def test_pairs_on_both_sides_of_the_threshold_are_shown_the_nearest_first(project):
    found = near_examples(project.context(), 0.8)
    cosines = [pair["cosine"] for pair in found["examples"]]
    assert cosines == sorted(cosines, reverse=True)
    assert {pair["blocked"] for pair in found["examples"]} == {True, False}
    assert all(pair["blocked"] == (pair["cosine"] >= 0.8) for pair in found["examples"])
    near = pair_of(found, NEAR)
    assert (near["holdout"], near["holdout_value"]) == (2, text_of(2))
    assert near["value"].endswith("Indeed.")
    json.dumps(found)


def test_a_copy_is_blocked_whatever_the_threshold(project):
    found = near_examples(project.context(), 1.0)
    assert found["blocked"] == 1
    assert found["share"] == pytest.approx(1 / 56)
    assert "1 of 56 tasks" in found["text"]


def test_the_threshold_in_force_is_shown_without_another(project):
    found = near_examples(project.context())
    assert 0 < found["by_data"] <= 1
    assert found["threshold"] == pytest.approx(found["by_data"])


def test_a_threshold_that_would_block_too_much_is_refused_with_one_that_passes(project):
    found = near_examples(project.context(), 0.2)
    assert "would block" in found["text"]
    assert 0.2 < found["passing"] <= 1


def test_before_anything_is_embedded_it_says_so(text_project):
    found = near_examples(text_project.context())
    assert found["examples"] == []
