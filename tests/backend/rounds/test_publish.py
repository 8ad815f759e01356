"""Publishing: the old queue or the new one, never a mixture, whatever fails on the way."""

from collections import Counter

import pytest
import sqlalchemy as sa

from backend.config import QueueConfig
from backend.errors import LabelStudioRefusedError, LabelStudioUnreachableError, LeaseLostError
from backend.rounds import mirror, queue
from backend.rounds.publish import Publisher
from backend.rounds.rank import Ranker
from backend.store.evaluation_tables import ControlDraw
from backend.store.tables import Event, Pick, Work
from tests.backend.text_project import topic_of

IMPORT = "/api/projects/7/import/predictions"
PROJECT = "/api/projects/7/"


@pytest.fixture
def project(trained):
    """Ten tasks a window, half of the open ones held out or random; round 1 is trained."""
    config = QueueConfig(encoder="static", window=10, random_share=0.3, evaluation_cap=0.6)
    trained.update(config=config.model_dump(mode="json"))
    trained.hold_out(test=[31, 32, 33], validation=[34, 35], control=range(40, 52))
    return trained


@pytest.fixture
def publisher(project, connect):
    """A publisher of the project as a fresh job has one; the last job's lease has run out."""

    def fresh(patience=0.0):
        with project.database.write() as session:
            session.execute(sa.update(Work).values(owner=None, lease_until=None))
        context = project.context()
        ranker = Ranker(context, context.live_model(), 1)
        return Publisher(
            project.database,
            connect(patience),
            project.lease("sync"),
            ranker.choose,
            ranker.labels_of,
            context.schema,
            ranker.blocked,
        )

    return fresh


def admit(_session):
    """A guard whose round is still the caller's."""


def positions(project):
    with project.database.read() as session:
        return queue.current_queue(session, project.row()).positions


def staged(project):
    with project.database.read() as session:
        return queue.staged_versions(session, project.id)


def held(server, version):
    """How often each task has a prediction of a version."""
    return Counter(p["task"] for p in server.predictions if p["model_version"] == version)


def events(project):
    with project.database.read() as session:
        return list(session.scalars(sa.select(Event.message).order_by(Event.id)))


def test_what_is_served_is_exactly_the_window_in_its_order(project, publisher, label_studio):
    version = publisher().publish(1, admit)
    assert label_studio.project["model_version"] == version == project.row().queue_version
    window = positions(project)
    assert len(window) == 10
    assert label_studio.queue() == [position.task_id for position in window]
    assert {"strategy", "test", "validation"} <= {position.family for position in window}
    scores = [p["score"] for p in label_studio.predictions]
    assert sorted(scores) == list(range(10))


def test_without_preannotation_nobody_is_shown_anything(publisher, label_studio):
    publisher().publish(1, admit)
    assert all(p["result"] == [] for p in label_studio.predictions)


def test_with_preannotation_blind_tasks_still_show_nothing(project, publisher, label_studio):
    project.update(config={**project.row().config, "preannotate": "queue"})
    publisher().publish(1, admit)
    shown = {p["task"]: p["result"] for p in label_studio.predictions}
    for position in positions(project):
        if position.blind:
            assert shown[position.task_id] == []
        else:
            (region,) = shown[position.task_id]
            assert region["value"]["choices"] == [topic_of(position.task_id)]


def test_every_publish_has_a_version_of_its_own_and_blind_picks_carry_over(
    project, publisher, label_studio
):
    first = publisher().publish(1, admit)
    blind = [p for p in positions(project) if p.blind]
    second = publisher().publish(1, admit)
    assert first != second
    assert label_studio.queue() == [p.task_id for p in positions(project)]
    assert [p for p in positions(project) if p.blind] == blind
    with project.database.read() as session:
        drawn = list(session.scalars(sa.select(ControlDraw.task_id)))
    assert sorted(drawn) == sorted(p.task_id for p in blind if p.family == "random")


# ------------------------------------------------------------------ refused


def test_a_task_deleted_meanwhile_is_left_out_and_the_rest_is_published(
    project, publisher, label_studio
):
    for task_id in (31, 40):  # a hold-out and an ordinary task, both unknown to have gone
        label_studio.delete_task(task_id)
    publisher().publish(1, admit)
    window = [p.task_id for p in positions(project)]
    assert label_studio.queue() == window
    assert len(window) == 10
    assert 31 not in window
    with project.database.read() as session:
        assert 31 not in mirror.live_task_ids(session, project.id)
    assert any("31" in message for message in events(project))
    assert staged(project) == set()


def test_another_refusal_leaves_the_old_queue_in_force(project, publisher, label_studio):
    old = publisher().publish(1, admit)
    before = positions(project)
    label_studio.fail("POST", IMPORT, 400, {"detail": "score: not a number"})
    with pytest.raises(LabelStudioRefusedError, match="not a number"):
        publisher().publish(1, admit)
    assert (label_studio.project["model_version"], project.row().queue_version) == (old, old)
    assert positions(project) == before


def test_a_round_that_was_taken_over_does_not_switch_the_queue(project, publisher, label_studio):
    old = publisher().publish(1, admit)
    calls = []

    def guard(_session):
        calls.append(1)
        if len(calls) == 2:  # after the import, before the switch
            raise LeaseLostError("another worker runs this round")

    with pytest.raises(LeaseLostError):
        publisher().publish(1, guard)
    assert label_studio.project["model_version"] == old
    assert project.row().queue_version == old


# ------------------------------------------------------------------ cut off


def test_a_connection_cut_after_the_import_was_stored_doubles_nothing(
    project, publisher, label_studio
):
    old = publisher().publish(1, admit)
    label_studio.cut_after("POST", IMPORT)
    with pytest.raises(LabelStudioUnreachableError):
        publisher(patience=5.0).publish(1, admit)
    assert label_studio.asked("POST", IMPORT) == 2  # an import is never repeated by itself
    assert label_studio.queue() == [p.task_id for p in positions(project)]
    assert label_studio.project["model_version"] == old
    new = publisher().publish(1, admit)
    assert set(held(label_studio, new).values()) == {1}
    assert label_studio.queue() == [p.task_id for p in positions(project)]
    assert staged(project) == set()


def test_a_switch_whose_answer_was_lost_is_recorded_before_the_next_one(
    project, publisher, label_studio
):
    publisher().publish(1, admit)
    label_studio.cut_after("PATCH", PROJECT)
    with pytest.raises(LabelStudioUnreachableError):
        publisher().publish(1, admit)
    switched = label_studio.project["model_version"]
    assert project.row().queue_version != switched  # the crash came in between
    served = label_studio.queue()
    blind = {p.task_id for p in staged_picks(project) if p.blind}
    final = publisher().publish(1, admit)
    # What was in force there was taken over: its blind picks carry on, none was drawn twice.
    assert final not in (switched, None)
    assert blind <= set(label_studio.queue())
    with project.database.read() as session:
        versions = set(session.scalars(sa.select(Pick.version).where(Pick.state == "superseded")))
    assert switched in versions
    assert len(served) == 10


def staged_picks(project):
    with project.database.read() as session:
        return list(session.scalars(sa.select(Pick).where(Pick.state == "staged")))


@pytest.mark.usefixtures("project")
def test_label_studio_away_for_a_while_only_takes_longer(publisher, label_studio):
    label_studio.fail("PATCH", PROJECT, 503, times=2)
    version = publisher(patience=20.0).publish(1, admit)
    assert label_studio.project["model_version"] == version


# ------------------------------------------------------------------ top-up


def answer_some(project, label_studio, count):
    for position in positions(project)[:count]:
        label_studio.annotate(position.task_id, topic_of(position.task_id))
        project.annotate(position.task_id, topic_of(position.task_id))
    with project.database.write() as session:
        queue.resolve_answered(session, project.row())


def test_a_top_up_appends_behind_what_is_left(project, publisher, label_studio):
    version = publisher().publish(1, admit)
    answer_some(project, label_studio, 6)
    left = [p.task_id for p in positions(project)]
    assert publisher().top_up(10, 1) == 6
    window = [p.task_id for p in positions(project)]
    assert window[:4] == left
    assert len(window) == 10
    assert project.row().queue_version == version
    assert label_studio.queue()[6:] == window
    assert set(held(label_studio, version).values()) == {1}


@pytest.mark.usefixtures("project")
def test_a_full_window_is_not_topped_up(publisher, label_studio):
    publisher().publish(1, admit)
    assert publisher().top_up(10, 1) == 0
    assert label_studio.asked("POST", IMPORT) == 1


def test_a_top_up_cut_off_after_it_was_stored_is_found_and_not_imported_again(
    project, publisher, label_studio
):
    version = publisher().publish(1, admit)
    answer_some(project, label_studio, 6)
    label_studio.cut_after("POST", IMPORT)
    with pytest.raises(LabelStudioUnreachableError):
        publisher().top_up(10, 1)
    assert publisher().top_up(10, 1) == 0  # it is all there
    assert set(held(label_studio, version).values()) == {1}
    assert label_studio.queue()[6:] == [p.task_id for p in positions(project)]
    assert len(positions(project)) == 10


def test_a_top_up_that_never_arrived_is_sent_again(project, publisher, label_studio):
    version = publisher().publish(1, admit)
    answer_some(project, label_studio, 6)
    label_studio.fail("POST", IMPORT, 503)
    with pytest.raises(LabelStudioUnreachableError):
        publisher().top_up(10, 1)
    assert publisher().top_up(10, 1) == 6
    assert set(held(label_studio, version).values()) == {1}
    assert label_studio.queue()[6:] == [p.task_id for p in positions(project)]


def test_a_top_up_leaves_out_a_task_deleted_meanwhile(project, publisher, label_studio):
    publisher().publish(1, admit)
    queued = set(label_studio.queue())
    answer_some(project, label_studio, 8)
    for task_id in range(36, 48):
        if task_id not in queued:
            label_studio.delete_task(task_id)
    publisher().top_up(10, 1)
    window = [p.task_id for p in positions(project)]
    assert label_studio.queue()[8:] == window
    assert set(window) <= set(label_studio.tasks)
    assert len(window) == 10


def test_a_top_up_after_a_switch_whose_answer_was_lost_fills_the_queue_that_is_served(
    project, publisher, label_studio
):
    publisher().publish(1, admit)
    label_studio.cut_after("PATCH", PROJECT)
    with pytest.raises(LabelStudioUnreachableError):
        publisher().publish(1, admit)
    switched = label_studio.project["model_version"]
    for task_id in label_studio.queue()[:6]:
        label_studio.annotate(task_id, topic_of(task_id))
        project.annotate(task_id, topic_of(task_id))
    assert publisher().top_up(10, 1) == 6
    assert project.row().queue_version == switched
    assert label_studio.queue()[6:] == [p.task_id for p in positions(project)]
    assert staged(project) == set()


def test_the_first_window_after_the_draw_has_its_random_share(trained, connect):
    """Before it nothing is random, and no position is spent on that."""
    config = QueueConfig(encoder="static", window=20, random_share=0.4, evaluation_cap=0.6)
    trained.update(config=config.model_dump(mode="json"))

    def publish():
        with trained.database.write() as session:
            session.execute(sa.update(Work).values(owner=None, lease_until=None))
        context = trained.context()
        ranker = Ranker(context, context.live_model(), 1)
        Publisher(
            trained.database,
            connect(),
            trained.lease("sync"),
            ranker.choose,
            ranker.labels_of,
            context.schema,
            ranker.blocked,
        ).publish(1, admit)
        return Counter(position.family for position in positions(trained))

    assert publish() == {"strategy": 20}
    trained.hold_out(test=[31, 32, 33], control=range(40, 52))
    assert publish()["random"] >= 3
