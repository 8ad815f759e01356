"""Two people label the test set and a part of the control; ties go to a third."""

import pytest

from backend.config import QueueConfig
from backend.rounds.second_opinions import (
    Repeat,
    asked_twice,
    repeats,
    second_opinion_figures,
    unanswered_repeats,
)
from backend.store.tables import Project
from tests.backend.text_project import topic_of

TEST, VALIDATION, CONTROL = [1, 2, 3, 4], [5, 6], range(30, 50)


@pytest.fixture
def project(text_project):
    configure(text_project)
    text_project.hold_out(test=TEST, validation=VALIDATION, control=CONTROL)
    return text_project


def configure(project, **values):
    config = {"budget": 100, "evaluation_cap": 0.9, "random_share": 0.2, "encoder": "static"}
    project.update(config=QueueConfig(**config, **values).model_dump(mode="json"))


def now(project, queued=()):
    with project.database.read() as session:
        return repeats(session, session.get_one(Project, project.id), queued)


def twice(project):
    with project.database.read() as session:
        return asked_twice(session, session.get_one(Project, project.id))


def test_one_annotator_is_never_asked_again(project):
    project.annotate_truly([*TEST, *CONTROL])
    assert now(project) == []


def test_the_whole_test_set_and_a_part_of_the_control_are_asked_of_a_second(project):
    configure(project, double_share=0.3)
    asked = twice(project)
    assert set(asked[: len(TEST)]) == set(TEST)
    assert 0 < len(set(asked) & set(CONTROL)) < len(CONTROL)
    assert not set(asked) & set(VALIDATION)
    configure(project, double_share=1.0)
    assert set(twice(project)) == {*TEST, *CONTROL}
    configure(project, double_share=0.0)
    assert twice(project) == []


def test_what_is_labelled_twice_is_done_and_what_nobody_labelled_waits_for_its_turn(project):
    project.annotate_truly([1, 2, 5, 60])
    project.annotate(1, topic_of(1), by=2)
    assert now(project) == [Repeat(2, 2)]
    assert now(project, queued=[2]) == []


def test_no_more_is_asked_twice_than_evaluation_may_cost(project):
    # 100 labels: 20 for the control, 6 held out; two more may be spent.
    configure(project, double_share=1.0)
    project.update(config={**project.row().config, "evaluation_cap": 0.28})
    assert len(twice(project)) == 2
    assert set(twice(project)) <= set(TEST)


def test_a_tie_goes_to_a_third_and_no_further(project):
    project.annotate(55, "weather", by=1)
    project.annotate(55, "cooking", by=2)
    assert now(project) == []  # there are two people only
    project.annotate(56, "cooking", by=3)
    assert now(project) == [Repeat(55, 3)]
    project.annotate(55, "football", by=3)
    project.annotate(56, "cooking", by=4)
    assert now(project) == []


def test_who_skipped_a_task_is_not_asked_again(project):
    """One that nobody else will answer would hold up all that come after it."""
    project.annotate_truly([1, 2])
    project.annotate(60, topic_of(60), by=2)
    assert {one.task_id for one in now(project)} == {1, 2}
    project.annotate(1, None, by=2, skipped=True)
    assert [one.task_id for one in now(project)] == [2]
    project.annotate(60, None, by=3, skipped=True)  # a third has come, but labels nothing yet
    assert [one.task_id for one in now(project)] == [2]
    project.annotate(59, topic_of(59), by=3)
    assert {one.task_id for one in now(project)} == {1, 2}
    project.annotate(1, None, by=3, skipped=True)
    assert [one.task_id for one in now(project)] == [2]


def test_a_project_that_asks_several_people_about_everything_does_so_by_itself(project):
    project.annotate_truly([1, 2])
    project.annotate(1, topic_of(1), by=2)
    project.update(overlap=2)
    assert now(project) == []


def test_a_window_asks_again_about_a_tenth_of_its_size_at_most(project):
    configure(project, double_share=1.0, window=20)
    project.annotate_truly(CONTROL)
    project.annotate(60, topic_of(60), by=2)
    assert len(now(project)) == 2


def test_what_was_asked_again_and_answered_need_not_be_taken_back(project):
    project.annotate_truly([1, 2])
    project.annotate(1, topic_of(1), by=2)
    project.update(restore={"raised": [1, 2]})
    with project.database.read() as session:
        assert unanswered_repeats(session, project.row()) == {2}


def test_people_are_compared_by_their_first_two_opinions(project):
    configure(project, double_share=1.0)
    tasks = [*TEST, *list(CONTROL)[:6]]
    project.annotate_truly(tasks)
    assert second_opinion_figures(project.context())["planned"] == 0  # there is nobody else
    for task in tasks[1:]:
        project.annotate(task, topic_of(task), by=2)
    other = "cooking" if topic_of(tasks[0]) != "cooking" else "weather"
    project.annotate(tasks[0], other, by=2)
    project.annotate(tasks[0], other, by=3)
    found = second_opinion_figures(project.context())
    assert found["planned"] == len(TEST) + len(CONTROL)
    assert found["answered"] == len(tasks)
    assert found["repeated_labels"] == len(tasks) + 1
    assert found["agreement"]["items"] == len(tasks)
    assert found["agreement"]["observed"] == pytest.approx(0.9)
    assert found["agreement"]["low"] < found["agreement"]["kappa"] < found["agreement"]["high"]
