"""The reason in a task's own data: written where it differs, never over somebody else's value."""

import pytest

from backend.rounds.explain_field import READ_AT_ONCE, write_sentences
from backend.rounds.reasons import NEUTRAL
from tests.backend.text_project import TASK_IDS, text_of

FIELD = "asknext_reason"


@pytest.fixture
def write(connect):
    return lambda sentences: write_sentences(connect(), 7, FIELD, sentences)


def data(server, task):
    return server.tasks[task].data


def test_each_task_gets_its_sentence_and_keeps_everything_else(write, label_studio):
    sentences = {n: NEUTRAL if n % 2 else "margin chose it." for n in TASK_IDS[: READ_AT_ONCE + 5]}
    assert write(sentences) == []
    for task, sentence in sentences.items():
        assert data(label_studio, task) == {"text": text_of(task), FIELD: sentence}
    assert FIELD not in data(label_studio, TASK_IDS[-1])


def test_a_reason_is_replaced_by_another_and_the_same_is_not_written_again(write, label_studio):
    write({1: "margin chose it: the model wavers.", 2: NEUTRAL})
    written = label_studio.asked("PATCH", "/api/tasks/")
    assert write({1: NEUTRAL, 2: NEUTRAL}) == []
    assert data(label_studio, 1)[FIELD] == NEUTRAL
    assert label_studio.asked("PATCH", "/api/tasks/") == written + 1


def test_a_value_of_somebody_elses_is_kept_and_told_of(write, label_studio):
    label_studio.tasks[3].data[FIELD] = "asked for by the clinic"
    (refused,) = write({3: NEUTRAL, 4: NEUTRAL})
    assert "task 3" in refused
    assert "another explain_field" in refused
    assert data(label_studio, 3)[FIELD] == "asked for by the clinic"
    assert data(label_studio, 4)[FIELD] == NEUTRAL


def test_no_task_is_asked_for_by_itself(write, label_studio):
    """Label Studio would resolve its addresses and ask the ML backend for a prediction."""
    write({1: NEUTRAL})
    assert label_studio.asked("GET", "/api/tasks/") == 0


def test_a_task_that_is_gone_or_refused_does_not_keep_the_others_from_it(write, label_studio):
    label_studio.fail("PATCH", "/api/tasks/5/", 403)
    (refused,) = write({5: NEUTRAL, 6: NEUTRAL, 999: NEUTRAL})
    assert refused.startswith("task 5")
    assert data(label_studio, 6)[FIELD] == NEUTRAL
