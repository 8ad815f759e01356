"""The budget: submitted annotations, hours without the breaks, a pace, and a stream that stops."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.budget import budget_overview, is_spent, spent
from backend.config import QueueConfig
from backend.errors import AskNextError
from backend.labelstudio import LabelStudio
from backend.store.tables import Annotation
from backend.stream import BUDGET_SPENT, NOTICE, follow_budget, resume
from tests.backend.text_project import LABEL_CONFIG
from tests.backend.unreliable_labelstudio import PERSONAL_TOKEN, UnreliableLabelStudio

MORNING = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _connected_long_ago(text_project):
    text_project.update(created_at=MORNING.timestamp() - 1.0)


def configure(project, **changes):
    config = QueueConfig(encoder="static", **changes)
    project.update(config=config.model_dump(mode="json"))


def work(project, count, *, by=1, seconds=60.0, every=timedelta(minutes=10), skipped=False):
    """`count` annotations of one annotator, one every so often from the morning on."""
    with project.database.write() as session:
        for number in range(count):
            session.add(
                Annotation(
                    project_id=project.id,
                    annotation_id=1_000 * by + 500 * skipped + number,
                    task_id=number + 1,
                    completed_by=by,
                    choices={},
                    cancelled=skipped,
                    lead_time=seconds,
                    created_at=(MORNING + number * every).isoformat().replace("+00:00", "Z"),
                    updated_at="",
                )
            )


def of(project):
    with project.database.read() as session:
        return spent(session, project.id)


def test_submitted_annotations_count_and_skips_are_told_apart(text_project):
    work(text_project, 12)
    work(text_project, 3, skipped=True)
    work(text_project, 5, by=2)
    found = of(text_project)
    assert (found.annotations, found.skips) == (17, 3)


def test_what_was_there_before_the_project_was_connected_is_not_paid_from_the_budget(text_project):
    text_project.update(created_at=(MORNING + timedelta(minutes=35)).timestamp())
    work(text_project, 10)
    assert of(text_project).annotations == 6


def test_a_break_is_no_work(text_project):
    """Nineteen minutes of work and an annotation left open over night."""
    work(text_project, 39)
    with text_project.database.write() as session:
        session.get_one(Annotation, (text_project.id, 1_000)).lead_time = 60_000.0
    assert of(text_project).hours == pytest.approx(39 / 60, rel=0.01)


def test_the_end_follows_from_the_pace_of_the_last_week(text_project):
    configure(text_project, budget=200)
    work(text_project, 61, every=timedelta(hours=2.4))  # ten a day
    assert of(text_project).per_day == pytest.approx(10)
    with text_project.database.read() as session:
        now = MORNING + timedelta(days=6)
        shown = budget_overview(session, text_project.row(), now)
    assert shown["finish_at"] == (now + timedelta(days=13.9)).isoformat(timespec="minutes")
    assert (shown["annotations"], shown["budget"]) == (61, 200)


def test_hours_end_it_too(text_project):
    configure(text_project, budget=200, budget_hours=1.5)
    work(text_project, 60)
    with text_project.database.read() as session:
        assert not is_spent(session, text_project.row())
    work(text_project, 30, by=2)
    with text_project.database.read() as session:
        assert is_spent(session, text_project.row())


def test_without_work_there_is_no_pace(text_project):
    work(text_project, 9)
    assert of(text_project).per_day is None


class TestStream:
    """At the end the stream stops; with more to spend it goes on."""

    @pytest.fixture
    def server(self):
        with UnreliableLabelStudio(LABEL_CONFIG) as running:
            yield running

    @pytest.fixture
    def follow(self, server, text_project):
        def run():
            with LabelStudio(server.url, PERSONAL_TOKEN, patience=0.0) as client:
                follow_budget(text_project.database, client, text_project.row())

        return run

    def test_it_pauses_at_the_end_and_goes_on_when_the_budget_grows(
        self, follow, server, text_project
    ):
        configure(text_project, budget=10)
        work(text_project, 9)
        follow()
        assert text_project.row().state == "active"
        work(text_project, 1, by=2)
        follow()
        row = text_project.row()
        assert (row.state, row.pause_reason) == ("paused", BUDGET_SPENT)
        assert server.project["maximum_annotations"] == 0
        with (
            LabelStudio(server.url, PERSONAL_TOKEN, patience=0.0) as client,
            pytest.raises(AskNextError, match="raise `budget`"),
        ):
            resume(text_project.database, client, row)
        configure(text_project, budget=20)
        follow()
        row = text_project.row()
        assert (row.state, row.pause_reason) == ("active", None)
        assert server.project["maximum_annotations"] == 1

    def test_a_pause_by_hand_is_left_alone(self, follow, text_project):
        configure(text_project, budget=10)
        text_project.update(state="paused", paused_overlap=1)
        follow()
        assert text_project.row().state == "paused"

    def test_several_annotations_of_every_task_come_back_as_they_were(
        self, follow, server, text_project
    ):
        configure(text_project, budget=10)
        work(text_project, 10)
        server.project["maximum_annotations"] = 2
        follow()
        assert server.project["maximum_annotations"] == 0
        configure(text_project, budget=20)
        follow()
        assert server.project["maximum_annotations"] == 2

    def test_where_a_part_of_the_tasks_has_several_the_instruction_tells_the_annotators(
        self, follow, server, text_project
    ):
        configure(text_project, budget=10)
        work(text_project, 10)
        own = {"expert_instruction": "<p>Be kind.</p>", "show_instruction": False}
        server.project.update(maximum_annotations=2, overlap_cohort_percentage=30, **own)
        follow()
        follow()
        row = text_project.row()
        assert (row.state, row.pause_reason) == ("active", BUDGET_SPENT)
        assert server.project["maximum_annotations"] == 2
        assert server.project["expert_instruction"] == NOTICE + own["expert_instruction"]
        assert server.project["show_instruction"]
        configure(text_project, budget=20)
        follow()
        assert text_project.row().pause_reason is None
        assert {name: server.project[name] for name in own} == own
