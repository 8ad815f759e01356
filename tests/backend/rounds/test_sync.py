"""The sync: whatever happened in Label Studio is found, by its own clock, once."""

import time
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from backend.errors import LabelStudioRefusedError, LabelStudioUnreachableError, ProjectGoneError
from backend.rounds.holdout import draw_splits
from backend.rounds.round import count_labelled
from backend.rounds.schema import schema_of
from backend.rounds.sync import SAMPLING, Sync
from backend.store import work
from backend.store.evaluation_tables import SplitMember
from backend.store.tables import Annotation, Event, Label, Pick, Project, Task, Work
from tests.backend.text_project import CLASSES, label_config, text_of

STABLE = 1000.0  # seconds between two equal totals; the tests move the clock's record instead


@pytest.fixture
def project(database, label_studio):
    """A project of which nothing was read yet."""
    from backend.config import QueueConfig

    with database.write() as session:
        row = Project(
            label_studio_url=label_studio.url,
            label_studio_id=7,
            created_at=time.time(),
            secret=b"s" * 32,
            config=QueueConfig(encoder="static", test_size=10, validation_size=5).model_dump(
                mode="json"
            ),
        )
        session.add(row)
        session.flush()
        return row.id


@pytest.fixture
def sync(database, project, connect):
    """Run one sync, as a job of its own."""

    def run(patience=0.0):
        with database.write() as session:
            session.execute(sa.update(Work).values(owner=None, lease_until=None))
        lease = work.acquire(database, project, "sync", 60.0, even_if_done=True)
        return Sync(database, connect(patience), lease, stable_total_seconds=STABLE).run()

    return run


@pytest.fixture
def stored(database, project):
    """The project's row, or the rows of another table."""

    def read(table=Project, *conditions):
        with database.read() as session:
            if table is Project:
                return session.get_one(Project, project)
            return list(session.scalars(sa.select(table).where(*conditions)))

    return read


@pytest.fixture
def wait(database, project):
    """Let time pass since the total was first seen."""

    def run(seconds):
        with database.write() as session:
            row = session.get_one(Project, project)
            row.stable_total_at -= seconds

    return run


def labels(database, project):
    with database.read() as session:
        rows = session.scalars(sa.select(Label).where(Label.label.is_not(None)))
        assert count_labelled(session, project) >= 0
        return {row.task_id: row.label for row in rows}


def test_the_first_sync_reads_everything(sync, stored, database, project, label_studio):
    label_studio.annotate(3, "football")
    label_studio.annotate(4, "weather", skipped=True)
    report = sync()
    assert report.first
    row = stored()
    assert (row.title, row.total, tuple(row.classes)) == ("Topics", 60, CLASSES)
    assert len(stored(Task)) == 60
    assert stored(Task, Task.task_id == 5)[0].value == text_of(5)
    assert labels(database, project) == {3: "football"}
    assert len(stored(Annotation)) == 2


def test_the_next_one_finds_new_changed_skipped_and_deleted_annotations(
    sync, database, project, label_studio
):
    kept = label_studio.annotate(3, "football")
    dropped = label_studio.annotate(6, "football")
    sync()
    label_studio.annotate(9, "weather")
    label_studio.edit(3, kept, "cooking")
    label_studio.annotate(12, "weather", skipped=True)
    label_studio.delete_annotation(6, dropped)
    report = sync()
    assert not report.first
    assert report.label_changes == 3
    assert labels(database, project) == {3: "cooking", 9: "weather"}


def test_a_sync_that_finds_nothing_new_changes_nothing(sync, stored, label_studio):
    label_studio.annotate(3, "football")
    sync()
    label_studio.touch(3)  # as "Retrieve predictions" does
    assert sync().label_changes == 0
    assert sync().label_changes == 0
    assert stored().label_changes == 1


def test_new_and_deleted_tasks_are_found(sync, stored, database, project, label_studio):
    label_studio.annotate(3, "football")
    sync()
    label_studio.add_task(61, {"text": "Hail."})
    label_studio.delete_task(3)
    label_studio.delete_task(4)
    sync()
    live = {task.task_id for task in stored(Task, Task.deleted_at.is_(None))}
    assert live == {*range(1, 62)} - {3, 4}
    assert labels(database, project) == {}
    assert stored().total == 59


def test_as_many_new_tasks_as_deleted_ones_hide_neither(sync, stored, label_studio):
    sync()
    label_studio.delete_task(3)
    label_studio.add_task(61, {"text": "Hail."})
    sync()
    live = {task.task_id for task in stored(Task, Task.deleted_at.is_(None))}
    assert live == {*range(1, 62)} - {3}


def test_the_cursor_is_the_servers_clock_a_little_earlier_and_never_ours(
    sync, stored, label_studio
):
    label_studio.annotate(3, "football")
    sync()
    newest = datetime.fromisoformat(label_studio.tasks[3].updated_at)
    assert datetime.fromisoformat(stored().cursor) == newest - timedelta(seconds=10)


def test_tasks_that_no_change_query_shows_are_found_by_their_number(
    sync, stored, database, project, label_studio
):
    """As after a database that was restored: old time stamps, new ids."""
    sync()
    label_studio.add_task(61, {"text": "Hail."})
    label_studio.annotate(61, "weather")
    label_studio.tasks[61].updated_at = "2020-01-01T00:00:00Z"
    sync()
    assert stored(Task, Task.task_id == 61)[0].value == "Hail."
    assert labels(database, project) == {61: "weather"}


# ------------------------------------------------------------------ settings


def test_settings_that_the_queue_depends_on_are_put_back_and_it_is_said(
    sync, stored, database, project, label_studio
):
    sync()
    label_studio.predictions = [
        {"task": 1, "score": 0, "model_version": "asknext-a-q1.1", "result": []}
    ]
    with database.write() as session:
        session.get_one(Project, project).queue_version = "asknext-a-q1.1"
    label_studio.project.update(sampling="Sequential sampling", model_version="somebody's")
    sync()
    assert label_studio.project["sampling"] == SAMPLING
    assert label_studio.project["model_version"] == "asknext-a-q1.1"
    assert "set it back" in stored(Event)[-1].message


@pytest.mark.parametrize(("preannotate", "shown"), [("queue", True), ("none", False)])
def test_predictions_are_shown_where_the_configuration_says_so_and_the_queue_stays(
    sync, database, project, label_studio, preannotate, shown
):
    sync()
    label_studio.predictions = [
        {"task": 1, "score": 0, "model_version": "asknext-a-q1.1", "result": []}
    ]
    with database.write() as session:
        row = session.get_one(Project, project)
        row.queue_version = "asknext-a-q1.1"
        row.config = {**row.config, "preannotate": preannotate}
    label_studio.project.update(show_collab_predictions=not shown, model_version="asknext-a-q1.1")
    sync()
    assert label_studio.project["show_collab_predictions"] is shown
    assert label_studio.project["model_version"] == "asknext-a-q1.1"


def test_a_passing_refusal_costs_no_window(sync, database, project, label_studio, stored):
    sync()
    with database.write() as session:
        session.get_one(Project, project).queue_version = "asknext-a-q1.1"
    label_studio.fail("PATCH", "/api/projects/7/", 500)
    with pytest.raises(LabelStudioRefusedError):
        sync()
    assert stored().queue_version == "asknext-a-q1.1"


def test_many_tasks_of_the_last_seconds_are_not_read_with_every_sync(
    sync, database, project, label_studio
):
    """As after an import: more than a page of tasks share the newest moment."""
    for task_id in range(100, 260):
        label_studio.add_task(task_id, {"text": f"Text {task_id}."})
    for task_id in range(100, 260):
        label_studio.tasks[task_id].updated_at = label_studio.tasks[259].updated_at
    sync()
    assert sync().tasks_seen > 100  # what began before the newest change may have come late
    with database.write() as session:
        session.get_one(Project, project).last_synced_at -= 11
    sync()
    assert sync().tasks_seen == 0
    label_studio.annotate(3, "football")
    sync()
    assert labels(database, project) == {3: "football"}


def test_a_version_that_cannot_be_put_back_means_a_new_window(
    sync, stored, database, project, label_studio
):
    sync()
    with database.write() as session:
        session.get_one(Project, project).queue_version = "asknext-a-q1.1"
    label_studio.project["model_version"] = None  # its predictions were deleted there
    sync()
    assert stored().queue_version is None
    assert "new window" in stored(Event)[-1].message


def test_a_switch_that_was_not_recorded_is_not_undone(
    sync, stored, database, project, label_studio
):
    """Label Studio serves a version that is staged here: a crash came after the switch."""
    sync()
    with database.write() as session:
        session.get_one(Project, project).queue_version = "v1"
        session.add(
            Pick(
                project_id=project,
                version="v2",
                position=0,
                ordinal=0,
                round=1,
                task_id=1,
                family="strategy",
                branch="margin",
                blind=False,
                state="staged",
                created_at=time.time(),
            )
        )
    label_studio.project["model_version"] = "v2"
    sync()
    assert label_studio.project["model_version"] == "v2"
    assert stored(Event) == []


@pytest.mark.usefixtures("stored")
def test_a_paused_project_is_read_but_not_touched(sync, database, project, label_studio):
    sync()
    with database.write() as session:
        session.get_one(Project, project).state = "paused"
    label_studio.project["sampling"] = "Sequential sampling"
    label_studio.annotate(3, "football")
    sync()
    assert label_studio.project["sampling"] == "Sequential sampling"
    assert labels(database, project) == {3: "football"}


def test_a_changed_labelling_config_starts_a_new_label_schema_and_it_is_said(
    sync, stored, database, project, label_studio
):
    label_studio.annotate(1, "weather")
    label_studio.annotate(2, "cooking")
    sync()
    label_studio.project["label_config"] = label_config(("cooking", "football", "music"))
    sync()
    row = stored()
    assert (row.schema_number, row.classes) == (2, ["cooking", "football", "music"])
    assert labels(database, project) == {2: "cooking"}
    assert "weather no longer exist" in stored(Event)[-1].message
    assert "1 labels changed" in stored(Event)[-1].message


def test_a_config_that_asks_about_another_field_reads_every_task_again(sync, stored, label_studio):
    for task in label_studio.tasks.values():
        task.data["title"] = f"Title {task.number}"
    sync()
    label_studio.project["label_config"] = label_config(field="title")
    assert sync().first
    assert {task.value for task in stored(Task)} == {f"Title {n}" for n in range(1, 61)}


def test_an_unusable_config_is_said_and_does_not_stop_the_sync(sync, stored, label_studio):
    label_studio.project["label_config"] = "<View><Text name='content' value='$text'/></View>"
    sync()
    assert schema_of(stored()) is None
    assert "Choices" in stored().last_error
    label_studio.project["label_config"] = label_config()
    sync()
    assert schema_of(stored()).classes == CLASSES
    assert stored().last_error is None
    assert {task.value for task in stored(Task)} == {text_of(n) for n in range(1, 61)}


# ------------------------------------------------------------------ failures


def test_an_interrupted_first_sync_goes_on_where_it_stopped(sync, stored, label_studio):
    for task_id in range(61, 2401):
        label_studio.add_task(task_id, {"text": f"Text {task_id}"})
    sync_fails_at_page(label_studio, 3)
    with pytest.raises(LabelStudioUnreachableError):
        sync()
    read = len(stored(Task))
    assert 0 < read < 2400
    assert stored().first_synced_at is None
    label_studio.requests.clear()
    assert sync().first
    assert len(stored(Task)) == 2400
    assert stored().total == 2400


def sync_fails_at_page(server, number):
    """Let the server answer so many lists, then be away once."""
    real, seen = server._list, []

    def listed(query):
        seen.append(query)
        if len(seen) == number + 1:
            return 503, {"detail": "restarting"}
        return real(query)

    server._list = listed


def test_a_restart_of_label_studio_only_takes_longer(sync, stored, label_studio):
    label_studio.fail("GET", "/api/tasks", 503, times=2)
    sync(patience=20.0)
    assert len(stored(Task)) == 60


def test_an_expired_access_token_is_refreshed_in_the_middle(label_studio, connect):
    client = connect()
    client.project(7)
    label_studio.expire_access()
    assert client.total(7) == 60
    assert label_studio.asked("POST", "/api/token/refresh/") == 2


def test_a_refused_token_is_said_with_the_mend_and_without_the_token(label_studio):
    from backend.labelstudio import LabelStudio

    with (
        LabelStudio(label_studio.url, "another.personal.token", patience=0.0) as client,
        pytest.raises(LabelStudioRefusedError, match="asknext connect") as refused,
    ):
        client.project(7)
    assert "another.personal.token" not in str(refused.value) + repr(refused.value)


def test_a_project_that_is_gone_is_told_apart_from_every_other_failure(sync, label_studio):
    sync()
    label_studio.gone = True
    with pytest.raises(ProjectGoneError):
        sync()


# ------------------------------------------------------------------ hold-outs


def members(stored):
    return {row.task_id: row.role for row in stored(SplitMember)}


def test_holdouts_are_drawn_once_the_total_has_stood_still(sync, stored, wait, label_studio):
    assert not sync().holdout_drawn
    wait(STABLE - 60)
    assert not sync().holdout_drawn
    label_studio.add_task(61, {"text": "Hail."})
    wait(120)
    assert not sync().holdout_drawn  # it moved: the wait begins anew
    wait(STABLE + 1)
    assert sync().holdout_drawn
    drawn = members(stored)
    # 61 tasks of a budget of 5,000: a random tenth is more than a quarter of the pool.
    assert sorted(drawn.values()) == ["control"] * 15 + ["test"] * 10 + ["validation"] * 5
    assert stored().era == 1


class TestRefusedDraw:
    """A configuration that no draw fits: said once, in words, and tried again until it does."""

    @pytest.fixture
    def refused(self, database, project, sync, stored, wait):
        config = {**stored().config, "test_set": {"field": "split", "value": "test"}}
        with database.write() as session:
            session.get_one(Project, project).config = config
        sync()
        wait(STABLE + 1)
        assert not sync().holdout_drawn
        return stored

    def test_it_says_which_field_is_wrong_and_what_mends_it(self, refused, sync):
        row = refused()
        assert row.last_error.startswith("hold-outs: test_set.field: no task has split = test.")
        assert "leave `test_set` out" in row.last_error
        sync()
        assert [event.message for event in refused(Event, Event.level == "error")] == [
            row.last_error
        ]
        assert (row.era, row.holdout_drawn_at, members(refused)) == (0, None, {})

    def test_it_is_drawn_once_the_tasks_come(self, refused, sync, wait, label_studio):
        for task_id in (61, 62):
            label_studio.add_task(task_id, {"text": f"Hail {task_id}.", "split": "test"})
        sync()
        wait(STABLE + 1)
        assert sync().holdout_drawn
        assert {task for task, role in members(refused).items() if role == "test"} == {61, 62}
        assert refused().last_error is None


def test_they_are_drawn_from_the_whole_pool_labelled_or_not(sync, stored, wait, label_studio):
    for task_id in range(1, 61):
        label_studio.annotate(task_id, "weather")
    sync()
    wait(STABLE + 1)
    sync()
    assert len(members(stored)) == 30


def test_they_are_drawn_once_and_later_tasks_join_by_the_same_rule(
    sync, stored, wait, label_studio
):
    sync()
    wait(STABLE + 1)
    sync()
    drawn = members(stored)
    for task_id in range(61, 121):
        label_studio.add_task(task_id, {"text": f"Text {task_id}"})
    sync()
    wait(STABLE + 1)
    assert not sync().holdout_drawn
    now = members(stored)
    assert {task: role for task, role in now.items() if task <= 60} == drawn
    late = [role for task, role in now.items() if task > 60]
    assert 0 < late.count("test") < 30
    assert 0 < late.count("control") < 40
    assert members(stored) == now


def test_an_empty_project_draws_nothing(sync, stored, wait, label_studio):
    for task_id in range(1, 61):
        label_studio.delete_task(task_id)
    sync()
    wait(STABLE + 1)
    assert not sync().holdout_drawn
    assert members(stored) == {}


def test_a_new_era_draws_other_members_by_another_secret(text_project):
    for _ in range(2):
        with text_project.database.write() as session:
            draw_splits(text_project.database, session, session.get_one(Project, text_project.id))
    first, second = _era(text_project, 1), _era(text_project, 2)
    assert first != second
    assert sorted(role for _, role in first) == sorted(role for _, role in second)


def _era(project, era):
    with project.database.read() as session:
        return {
            (row.task_id, row.role)
            for row in session.scalars(sa.select(SplitMember).where(SplitMember.era == era))
        }


def test_an_annotation_that_no_clock_shows_is_found_by_its_count(sync, label_studio, stored):
    sync()
    label_studio.annotate(1, CLASSES[0])
    sync()
    number = label_studio.annotate(2, CLASSES[1])
    hidden = "2020-01-01T00:00:00Z"  # the server's clock was set back
    label_studio.tasks[2].updated_at = hidden
    label_studio.tasks[2].annotations[0].update(created_at=hidden, updated_at=hidden)
    sync()
    assert {a.annotation_id for a in stored(Annotation)} >= {number}
    assert {row.task_id for row in stored(Label, Label.status == "settled")} == {1, 2}
    assert any("counting" in event.message for event in stored(Event))
