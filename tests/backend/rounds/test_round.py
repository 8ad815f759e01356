"""A round ends as one round, wherever it was interrupted."""

import pytest
import sqlalchemy as sa

from backend.config import QueueConfig
from backend.errors import LabelStudioUnreachableError, LeaseLostError
from backend.export import check_for_leaks
from backend.rounds import queue, round, train
from backend.rounds.context import ProjectContext
from backend.rounds.round import STAGES, RoundRun, count_labelled
from backend.rounds.upkeep import round_is_due
from backend.store import work
from backend.store.projects import installation_name, model_version
from backend.store.tables import Event, Project, Round, TrainingManifest, Work
from tests.backend.text_project import topic_of

IMPORT = "/api/projects/7/import/predictions"


@pytest.fixture
def project(text_project, label_studio):
    """A text project that follows the failing Label Studio, hold-outs drawn, 30 labels there."""
    config = QueueConfig(encoder="static", window=10, retrain_every=5)
    text_project.update(config=config.model_dump(mode="json"), label_studio_url=label_studio.url)
    text_project.hold_out(test=range(41, 47), validation=range(47, 51))
    for task_id in [*range(1, 31), 41, 47]:
        label_studio.annotate(task_id, topic_of(task_id))
    return text_project


@pytest.fixture
def run(project, connect):
    """Run the round, as a fresh worker."""

    def start():
        with project.database.write() as session:
            session.execute(sa.update(Work).values(owner=None, lease_until=None))
        context = ProjectContext(project.settings, project.database, project.id, connect())
        return RoundRun(context, project.lease("round")).run()

    return start


def rounds(project):
    with project.database.read() as session:
        return list(session.scalars(sa.select(Round).order_by(Round.number)))


def manifest(project, number):
    with project.database.read() as session:
        return session.get(TrainingManifest, (project.id, number))


def test_a_round_goes_from_labels_to_a_served_queue(project, run, label_studio):
    assert run()
    (row,) = rounds(project)
    name = installation_name(project.database)
    assert (row.number, row.state, row.labelled, row.trained_on) == (1, "done", 32, 30)
    assert row.model_version == model_version(name, 1)
    assert row.queue_version == label_studio.project["model_version"]
    test = row.metrics["test"]
    assert test["labelled"] + test["beyond_prefix"] == 1
    assert set(row.seconds) == set(STAGES)
    assert all(seconds >= 0 for seconds in row.seconds.values())
    state = project.row()
    assert (state.model_round, state.round_label_changes) == (1, 32)
    with project.database.read() as session:
        window = queue.current_queue(session, state).positions
    assert label_studio.queue() == [position.task_id for position in window]
    served = set(label_studio.queue())
    assert not served & {*range(1, 31), 41, 47}  # what has an answer is not asked again


def test_the_next_round_has_the_next_number(project, run, label_studio):
    run()
    label_studio.annotate(31, topic_of(31))
    run()
    assert [row.number for row in rounds(project)] == [1, 2]
    assert [row.trained_on for row in rounds(project)] == [30, 31]


def test_without_holdouts_a_round_waits(project, run):
    project.update(holdout_drawn_at=None)
    assert run() is False
    (row,) = rounds(project)
    assert (row.state, project.row().model_round) == ("running", 0)
    assert manifest(project, 1) is None
    project.update(holdout_drawn_at=1.0)
    assert run()
    assert [(row.number, row.state) for row in rounds(project)] == [(1, "done")]


def test_a_round_interrupted_while_publishing_goes_on_with_its_own_model(
    project, run, label_studio
):
    label_studio.cut_after("POST", IMPORT)
    with pytest.raises(LabelStudioUnreachableError):
        run()
    (row,) = rounds(project)
    assert (row.state, row.stage, project.row().model_round) == ("running", "publish", 0)
    digest = manifest(project, 1).digest
    for task_id in (31, 32, 33):  # people go on labelling meanwhile
        label_studio.annotate(task_id, topic_of(task_id))
    assert run()
    (row,) = rounds(project)
    assert (row.number, row.state, row.trained_on) == (1, "done", 30)
    assert manifest(project, 1).digest == digest
    model = project.context().live_model()
    assert model.metadata["manifest"] == digest
    assert len(label_studio.queue()) == len(set(label_studio.queue())) == 10
    # The labels that it did not see are not forgotten: they count from its snapshot on.
    assert project.row().label_changes == 35
    assert not {31, 32, 33} & set(label_studio.queue())


def test_a_round_interrupted_while_syncing_begins_with_what_is_there_then(
    project, run, label_studio
):
    label_studio.fail("GET", "/api/tasks", 503)
    with pytest.raises(LabelStudioUnreachableError):
        run()
    label_studio.annotate(31, topic_of(31))
    assert run()
    assert [(row.number, row.trained_on) for row in rounds(project)] == [(1, 31)]


def test_a_worker_whose_round_was_taken_over_changes_nothing_more(project, connect, label_studio):
    lease = project.lease("round")
    context = ProjectContext(project.settings, project.database, project.id, connect())
    with project.database.write() as session:
        session.execute(sa.update(Work).values(owner=None, lease_until=None))
    heir = project.lease("round")
    with pytest.raises(LeaseLostError):
        RoundRun(context, lease).run()
    assert rounds(project) == []
    assert label_studio.asked("POST", IMPORT) == 0
    heir.check()


def test_another_round_cannot_begin_beside_it(project):
    project.lease("round")
    assert work.acquire(project.database, project.id, "round", 60.0, even_if_done=True) is None


# ------------------------------------------------------------------ when one is due


def due(project, retrain_every=5):
    with project.database.read() as session:
        return round_is_due(session, session.get_one(Project, project.id), retrain_every)


def test_labels_are_counted_from_the_last_rounds_snapshot(text_project):
    text_project.annotate_truly(range(1, 5))
    assert not due(text_project)
    text_project.annotate_truly([5])
    assert due(text_project)
    text_project.update(round_label_changes=5)
    assert not due(text_project)
    text_project.annotate_truly(range(6, 11))
    assert due(text_project)


def test_holdouts_edits_and_deletions_count(text_project):
    text_project.hold_out(test=[1, 2])
    numbers = [text_project.annotate(task_id, topic_of(task_id)) for task_id in (1, 2, 3)]
    assert not due(text_project)
    text_project.edit(numbers[2], "weather")
    text_project.delete(numbers[1])
    assert due(text_project)


def test_no_second_round_is_asked_for_while_one_waits(text_project):
    text_project.annotate_truly(range(1, 11))
    work.request(text_project.database, text_project.id, "round")
    assert not due(text_project)


@pytest.mark.parametrize("state", ["paused", "disconnected", "archived"])
def test_a_project_that_rests_asks_for_no_round(text_project, state):
    text_project.annotate_truly(range(1, 11))
    text_project.update(state=state)
    assert not due(text_project)


@pytest.mark.parametrize(("stage", "seen", "expected"), [("sync", 0, False), ("train", 8, False)])
def test_labels_that_a_running_round_saw_or_will_see_ask_for_no_other(
    text_project, stage, seen, expected
):
    text_project.annotate_truly(range(1, 11))
    running(text_project, stage, seen)
    assert due(text_project) is expected


def test_labels_that_a_running_round_missed_ask_for_the_next_one(text_project):
    text_project.annotate_truly(range(1, 11))
    running(text_project, "train", 5)
    assert due(text_project)


def running(project, stage, label_changes):
    with project.database.write() as session:
        session.add(
            Round(
                project_id=project.id,
                number=1,
                stage=stage,
                label_changes=label_changes,
                started_at=0.0,
            )
        )


def test_labelled_means_distinct_tasks_with_a_settled_label(text_project):
    text_project.hold_out(test=[1])
    text_project.annotate_truly([1, 2])
    text_project.annotate(2, topic_of(2), by=2)
    text_project.annotate(3, None, skipped=True)
    text_project.annotate(4, "weather", by=1)
    text_project.annotate(4, "cooking", by=2)
    with text_project.database.read() as session:
        assert count_labelled(session, text_project.id) == 2


class TestNewEra:
    """Hold-outs that are drawn while a round runs: no model of it may have trained on them."""

    NEW = range(1, 11)

    @pytest.fixture
    def drawn_during(self, project, monkeypatch):
        """Draw anew, once, as soon as the named step of the next round has ended."""

        def arrange(module, name):
            step = getattr(module, name)

            def and_then_draw(*arguments, **options):
                result = step(*arguments, **options)
                monkeypatch.setattr(module, name, step)
                project.hold_out(test=self.NEW)
                return result

            monkeypatch.setattr(module, name, and_then_draw)

        return arrange

    def check(self, project):
        (row,) = rounds(project)
        assert row.state == "done"
        assert not {task for task, _ in manifest(project, 1).members} & set(self.NEW)
        assert (row.trained_on, row.started_at >= project.row().holdout_drawn_at) == (22, True)
        assert row.metrics["test"]["labelled"] == len(self.NEW)
        model = project.context().live_model()
        assert model.metadata["manifest"] == manifest(project, 1).digest
        check_for_leaks(project.database, project.row())

    @pytest.mark.parametrize(
        ("module", "name"),
        [(train, "train"), (round, "calibrate_and_measure"), (train, "store_model")],
    )
    def test_a_draw_in_the_middle_makes_the_round_train_again(
        self, project, run, drawn_during, module, name
    ):
        drawn_during(module, name)
        assert run()
        self.check(project)
        with project.database.read() as session:
            messages = session.scalars(sa.select(Event.message)).all()
        assert any("round 1 ran: it trains again" in message for message in messages)

    def test_a_resumed_round_does_not_go_on_with_a_model_of_the_older_era(
        self, project, run, label_studio
    ):
        label_studio.cut_after("POST", IMPORT)
        with pytest.raises(LabelStudioUnreachableError):
            run()
        assert rounds(project)[0].metrics
        project.hold_out(test=self.NEW)
        assert run()
        self.check(project)
