"""Which source said what, what was accepted, and what is in force."""

import json
import time

import pytest
import sqlalchemy as sa

from backend import config_history
from backend.config_history import (
    LATE_ECHO_SECONDS,
    forget_written_back,
    history,
    note_written_back,
    submit,
)
from backend.store.tables import ConfigChange, Work


@pytest.fixture
def say(text_project):
    """Submit a document from a source."""
    return lambda source, document: submit(text_project.database, text_project.id, source, document)


@pytest.fixture
def changes(text_project):
    """The history, newest first."""

    def read():
        with text_project.database.read() as session:
            return history(session, text_project.id)

    return read


def refusal(project):
    with project.database.read() as session:
        return config_history.refusal(session, project.id)


def requested(project, kind):
    with project.database.read() as session:
        return (
            session.scalar(
                sa.select(Work.requested).where(Work.project_id == project.id, Work.kind == kind)
            )
            or 0
        )


ONE = {"encoder": "static", "seed": 1}
TWO = {"encoder": "static", "seed": 2}
WRONG = {"seed": -1}


@pytest.mark.parametrize("source", ["label-studio", "file"])
def test_what_is_read_again_and_again_counts_once(say, changes, source):
    assert (say(source, ONE).accepted, say(source, ONE).repeated) == (True, True)
    assert say(source, {"seed": 1, "encoder": "static"}).repeated  # the order of keys says nothing
    assert len(changes()) == 1


@pytest.mark.parametrize("source", ["api", "cli"])
def test_what_somebody_submits_is_an_act_each_time(say, changes, text_project, source):
    say(source, ONE)
    say("label-studio", TWO)
    assert not say(source, ONE).repeated
    assert text_project.row().config["seed"] == 1
    assert len(changes()) == 3


def test_the_newest_accepted_change_wins_whatever_its_source(say, text_project):
    say("label-studio", ONE)
    say("cli", TWO)
    say("label-studio", ONE)  # Label Studio goes on sending what it has
    assert text_project.row().config["seed"] == 2
    say("label-studio", {"encoder": "static", "seed": 3})
    assert text_project.row().config["seed"] == 3


def test_going_back_to_an_earlier_document_is_a_change(say, text_project):
    for document in (ONE, TWO, ONE):
        say("label-studio", document)
    assert text_project.row().config["seed"] == 1


def test_a_wrong_document_is_recorded_and_the_old_one_stays_in_force(say, changes, text_project):
    say("label-studio", ONE)
    outcome = say("label-studio", WRONG)
    assert (outcome.accepted, outcome.repeated) == (False, False)
    assert outcome.message.startswith("seed:")
    assert text_project.row().config["seed"] == 1
    newest = changes()[0]
    assert (newest.accepted, newest.document, newest.source) == (False, WRONG, "label-studio")
    again = say("label-studio", WRONG)
    assert (again.accepted, again.repeated, again.message) == (False, True, outcome.message)


def test_a_refusal_is_shown_until_an_accepted_change_follows(say, text_project):
    assert refusal(text_project) is None
    say("label-studio", WRONG)
    assert "label-studio" in refusal(text_project)
    assert "seed" in refusal(text_project)
    say("label-studio", WRONG)
    assert refusal(text_project) is not None
    say("cli", ONE)
    assert refusal(text_project) is None


def test_a_document_given_as_text_is_kept_as_what_it_says(say, changes, text_project):
    assert say("label-studio", json.dumps(ONE)).accepted
    assert text_project.row().config["seed"] == 1
    assert changes()[0].document == ONE  # a rollback puts this in force again


@pytest.mark.parametrize("document", ["{no json", [1, 2], 3])
def test_what_is_no_document_is_refused_and_recorded(say, changes, document):
    assert not say("api", document).accepted
    assert str(document) in json.dumps(changes()[0].document)


def test_a_control_that_the_labelling_config_lacks_is_refused(say, text_project):
    outcome = say("api", {"encoder": "static", "control": "colour"})
    assert not outcome.accepted
    assert "topic" in outcome.message
    assert text_project.row().config["control"] is None


def test_what_asknext_wrote_back_is_no_change_when_it_returns(say, text_project):
    say("label-studio", ONE)
    say("api", TWO)
    with text_project.database.write() as session:
        note_written_back(session, text_project.id, TWO)
    # Label Studio sends the old document once more, then the one written back.
    assert say("label-studio", ONE).repeated
    assert say("label-studio", TWO).repeated
    assert text_project.row().config["seed"] == 2


def test_what_could_not_be_written_back_does_not_turn_the_old_document_into_a_change(
    say, text_project
):
    say("label-studio", ONE)
    say("api", TWO)
    with text_project.database.write() as session:
        note = note_written_back(session, text_project.id, TWO)
    with text_project.database.write() as session:
        forget_written_back(session, note)
    # Label Studio was away and says the old document for ever.
    assert say("label-studio", ONE).repeated
    assert text_project.row().config["seed"] == 2


def test_somebody_who_really_goes_back_is_heard_once_the_echo_has_passed(say, text_project):
    say("label-studio", ONE)
    say("api", TWO)
    with text_project.database.write() as session:
        note_written_back(session, text_project.id, TWO)
        session.execute(
            sa.update(ConfigChange)
            .where(ConfigChange.message == config_history.WRITTEN_BACK)
            .values(at=time.time() - LATE_ECHO_SECONDS - 1)
        )
    say("label-studio", ONE)
    assert text_project.row().config["seed"] == 1


def test_a_change_asks_for_a_sync_and_a_new_ranking_where_the_queue_depends_on_it(
    say, text_project
):
    text_project.hold_out(test=[1])
    text_project.update(queue_version="v1")
    harmless = {"encoder": "static", "strategy": "margin", "retrain_every": 30}
    say("api", harmless)
    assert (requested(text_project, "sync"), requested(text_project, "round")) == (1, 0)
    say("api", {**harmless, "strategy": "entropy"})
    assert (requested(text_project, "sync"), requested(text_project, "round")) == (2, 1)


def test_another_control_starts_another_label_schema(say, text_project):
    both = (
        '<View><Text name="content" value="$text"/>'
        '<Choices name="topic" toName="content"><Choice value="weather"/>'
        '<Choice value="cooking"/></Choices>'
        '<Choices name="tone" toName="content"><Choice value="calm"/><Choice value="loud"/>'
        "</Choices></View>"
    )
    text_project.update(label_config=both)
    say("api", {"encoder": "static", "control": "tone"})
    row = text_project.row()
    assert (row.control, row.classes, row.schema_number) == ("tone", ["calm", "loud"], 2)


@pytest.mark.parametrize(
    "document",
    [
        {"explain_field": "text"},
        {"explain_field": "patient", "group_by": "patient"},
        {"explain_field": "site", "strategy": {"metadata_balance": {"columns": ["site"]}}},
    ],
)
def test_a_field_that_is_read_is_not_written_over(say, document):
    outcome = say("api", {"encoder": "static", **document})
    assert not outcome.accepted
    assert outcome.message.startswith("explain_field: ")
    assert say("api", {"encoder": "static", "explain_field": "asknext_reason"}).accepted
