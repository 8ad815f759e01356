"""The published queue in the state: what is in force, what was answered, what can be queued."""

import time

import pytest
import sqlalchemy as sa

from backend.rounds import mirror, queue
from backend.rounds.window import Position
from backend.store.evaluation_tables import ControlDraw, HoldoutEra, SplitMember
from backend.store.tables import Annotation, ContentFailure, Pick, Project, Round, Task

# A moment after all annotations of these tests.
LATER = 4e9


def strategy(ordinal, task_id, score=0.5):
    return Position(ordinal, "strategy", task_id, "margin", score)


def random(ordinal, task_id, frame=60):
    return Position(ordinal, "random", task_id, "random", None, 1 / frame)


def held_out(ordinal, task_id, role="test"):
    return Position(ordinal, role, task_id, role)


@pytest.fixture
def publish(text_project):
    """Stage positions under a version and put them in force."""

    def run(version, positions, *, first=0, round_number=1, tasks=None):
        with text_project.database.write() as session:
            project = session.get_one(Project, text_project.id)
            entries = list(enumerate(positions, first))
            queue.stage(session, project, version, round_number, entries)
            queue.put_in_force(text_project.database, session, project, version, tasks)

    return run


def current(project):
    with project.database.read() as session:
        return queue.current_queue(session, project.row())


def resolve(project):
    with project.database.write() as session:
        return queue.resolve_answered(session, session.get_one(Project, project.id))


def states(project):
    with project.database.read() as session:
        rows = session.execute(sa.select(Pick.version, Pick.task_id, Pick.state))
        return {(row.version, row.task_id): row.state for row in rows}


def draws(project):
    with project.database.read() as session:
        return {row.task_id: row for row in session.scalars(sa.select(ControlDraw))}


FIRST = [strategy(0, 10), held_out(1, 20), random(2, 30), strategy(3, 11)]


def test_before_the_first_publish_the_queue_is_empty_and_counts_from_zero(text_project):
    state = current(text_project)
    assert (state.positions, state.next_ordinal, state.last_position) == ([], 0, -1)


def test_the_queue_is_what_was_published_in_its_order(text_project, publish):
    publish("v1", FIRST)
    state = current(text_project)
    assert state.positions == FIRST
    assert (state.next_ordinal, state.last_position) == (4, 3)
    assert text_project.row().queue_version == "v1"


def test_what_is_only_staged_is_not_in_force_and_uses_up_no_ordinal(text_project, publish):
    publish("v1", FIRST)
    with text_project.database.write() as session:
        project = session.get_one(Project, text_project.id)
        queue.stage(session, project, "v2", 2, [(0, strategy(4, 12))])
    assert current(text_project).positions == FIRST
    assert current(text_project).next_ordinal == 4
    with text_project.database.write() as session:
        assert queue.staged_versions(session, text_project.id) == {"v2"}
        queue.drop_staged(session, text_project.id)
        assert queue.staged_versions(session, text_project.id) == set()


def test_answered_tasks_leave_the_queue_whether_labelled_or_skipped(text_project, publish):
    publish("v1", FIRST)
    text_project.annotate(10, "weather")
    text_project.annotate(11, None, skipped=True)
    assert resolve(text_project) == 2
    assert [p.task_id for p in current(text_project).positions] == [20, 30]
    assert current(text_project).next_ordinal == 4
    assert resolve(text_project) == 0
    with text_project.database.read() as session:
        answered = session.scalars(sa.select(Pick).where(Pick.state == "resolved"))
        assert all(pick.resolved_at for pick in answered)


def finish_round(project, number):
    """A round that began after everything that was annotated so far, and is done."""
    with project.database.write() as session:
        session.add(
            Round(project_id=project.id, number=number, state="done", started_at=LATER + number)
        )


def test_what_chance_chose_is_asked_once_more_of_another_annotator(text_project, publish):
    publish("v1", FIRST)
    for task_id in (20, 30):
        text_project.annotate(task_id, None, skipped=True)
    text_project.annotate(20, None, by=2, skipped=True)
    assert resolve(text_project) == 1
    assert [p.task_id for p in current(text_project).positions] == [10, 30, 11]
    # Nobody else comes: two rounds later it is left unanswered, and never replaced.
    finish_round(text_project, 2)
    publish("v2", [random(2, 30), strategy(3, 11)], round_number=2)
    assert resolve(text_project) == 0
    finish_round(text_project, 3)
    publish("v3", [random(2, 30), strategy(3, 11)], round_number=3)
    assert resolve(text_project) == 1
    assert 30 not in [p.task_id for p in current(text_project).positions]


def test_the_patience_begins_with_the_skip_however_long_a_task_was_queued(text_project, publish):
    publish("v1", FIRST)
    for number in (1, 2, 3):
        with text_project.database.write() as session:
            session.add(
                Round(project_id=text_project.id, number=number, state="done", started_at=number)
            )
    text_project.annotate(30, None, skipped=True)
    assert resolve(text_project) == 0


def test_what_one_person_skipped_outside_the_queue_is_still_to_be_asked_of_another(text_project):
    """Opened by hand, or skipped before the draw: for a strategy's task that is the end."""
    text_project.hold_out(test=[3, 6], control=[9, 12])
    for task in (3, 9, 20):
        text_project.annotate(task, None, skipped=True)
    found = stock(text_project)
    assert {task for task, _ in found.holdouts} == {3, 6}
    assert {task for task, _ in found.control} == {9, 12}
    assert 20 not in found.others
    # While the stream is stopped nobody is waited for: the figures of the end have no gap.
    text_project.update(state="paused")
    assert {task for task, _ in stock(text_project).holdouts} == {6}
    text_project.update(state="active")
    for task in (3, 9):
        text_project.annotate(task, None, by=2, skipped=True)
    found = stock(text_project)
    assert {task for task, _ in found.holdouts} == {6}
    assert {task for task, _ in found.control} == {12}


def test_a_second_look_may_bring_a_label(text_project, publish):
    publish("v1", FIRST)
    text_project.annotate(30, None, skipped=True)
    assert resolve(text_project) == 0
    text_project.annotate(30, "weather", by=2)
    assert resolve(text_project) == 1


def test_deleted_tasks_leave_the_queue(text_project, publish):
    publish("v1", FIRST)
    with text_project.database.write() as session:
        mirror.delete_tasks(session, text_project.id, [30])
    assert resolve(text_project) == 1
    assert states(text_project)["v1", 30] == "dropped"


def test_a_new_version_supersedes_the_old_one(text_project, publish):
    publish("v1", FIRST)
    text_project.annotate(10, "weather")
    resolve(text_project)
    publish("v2", [strategy(3, 40), held_out(1, 20), random(2, 30)], round_number=2)
    assert [p.task_id for p in current(text_project).positions] == [40, 20, 30]
    assert states(text_project) == {
        ("v1", 10): "resolved",
        ("v1", 20): "superseded",
        ("v1", 30): "superseded",
        ("v1", 11): "superseded",
        ("v2", 40): "queued",
        ("v2", 20): "queued",
        ("v2", 30): "queued",
    }


def test_an_answer_to_a_task_that_was_open_during_a_switch_is_the_strategys_all_the_same(
    text_project, publish
):
    publish("v1", [strategy(0, 10), strategy(1, 11), strategy(2, 12), random(3, 30)])
    publish("v2", [strategy(0, 40), strategy(1, 12), random(3, 30)], round_number=2)
    text_project.annotate_truly([10, 12])
    assert resolve(text_project) == 2
    found = states(text_project)
    assert (found["v1", 10], found["v1", 11]) == ("resolved", "superseded")
    # What both windows hold is answered once, in the newer one.
    assert (found["v1", 12], found["v2", 12]) == ("superseded", "resolved")
    # A window later nobody has a task of the first one open any more: that label was unplanned.
    publish("v3", [strategy(0, 41)], round_number=3)
    text_project.annotate_truly([11])
    assert resolve(text_project) == 0
    assert states(text_project)["v1", 11] == "superseded"
    assert resolve(text_project) == 0


def test_a_random_draw_is_recorded_once_with_the_frame_that_it_came_from(text_project, publish):
    text_project.hold_out(control=range(30, 36))
    publish("v1", [random(2, 30, frame=60), strategy(3, 11)])
    first = draws(text_project)[30]
    assert (first.ordinal, first.round, first.frame_size) == (2, 1, 60)
    assert first.probability == pytest.approx(1 / 60)
    # Carried over into a later window, it stays the draw that it was.
    text_project.hold_out(control=range(30, 45), frame=45)
    publish("v2", [random(2, 30, frame=45), random(4, 31, frame=45)], round_number=2)
    carried, fresh = draws(text_project)[30], draws(text_project)[31]
    assert (carried.round, carried.frame_size, carried.drawn_at) == (1, 60, first.drawn_at)
    assert (fresh.round, fresh.frame_size) == (2, 45)
    assert set(draws(text_project)) == {30, 31}


def test_a_draw_that_never_came_into_force_is_not_recorded(text_project):
    with text_project.database.write() as session:
        project = session.get_one(Project, text_project.id)
        queue.stage(session, project, "v1", 1, [(0, random(2, 30))])
        queue.drop_staged(session, text_project.id, "v1")
    assert draws(text_project) == {}


def test_a_top_up_continues_positions_and_ordinals(text_project, publish):
    publish("v1", FIRST)
    for task_id in (10, 20):
        text_project.annotate(task_id, "weather")
    resolve(text_project)
    state = current(text_project)
    assert (state.next_ordinal, state.last_position) == (4, 3)
    publish("v1", [strategy(4, 12), strategy(5, 13)], first=state.last_position + 1)
    assert [p.task_id for p in current(text_project).positions] == [30, 11, 12, 13]
    assert current(text_project).last_position == 5


def test_of_an_import_cut_short_only_what_label_studio_holds_comes_into_force(
    text_project, publish
):
    publish("v1", FIRST, tasks={10, 30})
    assert [p.task_id for p in current(text_project).positions] == [10, 30]
    assert set(states(text_project)) == {("v1", 10), ("v1", 30)}


# ------------------------------------------------------------------ what a window is filled from


def stock(project):
    with project.database.read() as session:
        return queue.stock(session, project.row())


def by_u(project, task_ids):
    from backend.evaluation.holdout import permanent_random_number

    secret = project.row().secret
    return sorted(task_ids, key=lambda task_id: permanent_random_number(secret, str(task_id)))


def test_the_control_stock_is_the_controls_unanswered_tasks_in_order_of_u(text_project):
    text_project.hold_out(test=[3], control=[9, 4, 7, 11, 12])
    text_project.annotate(4, "weather")
    for person in (1, 2):
        text_project.annotate(7, None, by=person, skipped=True)
    found = stock(text_project)
    assert [task for task, _ in found.control] == by_u(text_project, [9, 11, 12])
    assert {probability for _, probability in found.control} == {5 / 59}
    assert 9 not in found.others


def test_what_the_strategy_may_choose_from_is_neither_answered_nor_held_out_nor_unreadable(
    text_project,
):
    text_project.annotate(1, "weather")
    text_project.annotate(2, None, skipped=True)
    text_project.hold_out(test=[3], validation=[4], control=[7])
    with text_project.database.write() as session:
        mirror.delete_tasks(session, text_project.id, [5])
        session.add(
            ContentFailure(
                project_id=text_project.id,
                task_id=6,
                content_hash=b"x" * 16,
                message="unreadable",
                retry_at=time.time() + 60,
            )
        )
    assert stock(text_project).others == set(range(8, 61))


def test_holdouts_leave_the_stock_when_they_are_answered(text_project):
    text_project.hold_out(test=[3, 6, 9], validation=[4, 5])
    text_project.annotate(6, "football")
    for person in (1, 2):
        text_project.annotate(5, None, by=person, skipped=True)
    assert set(stock(text_project).holdouts) == {(3, "test"), (9, "test"), (4, "validation")}


def test_both_splits_are_queued_in_turn_in_their_order_of_u(text_project):
    """The validation set, which every round reads, does not wait for the larger test set."""
    text_project.hold_out(test=range(1, 21), validation=range(21, 31))
    queued = list(stock(text_project).holdouts)
    assert [role for _, role in queued] == ["test", "validation"] * 10 + ["test"] * 10
    for role, members in (("test", range(1, 21)), ("validation", range(21, 31))):
        assert [t for t, r in queued if r == role] == by_u(text_project, members)


def test_every_beginning_of_the_queue_holds_the_strata_in_proportion(text_project):
    """By the number alone, the stratum whose interval is wider would come first."""
    text_project.hold_out(test=range(1, 31), control=range(31, 61))
    with text_project.database.write() as session:
        session.get_one(HoldoutEra, (text_project.id, 1)).strata = ["site"]
        for task in range(1, 61):
            row = session.get_one(Task, (text_project.id, task))
            row.fields = {"site": "small" if task % 3 == 0 else "large"}
            member = session.get_one(SplitMember, (text_project.id, 1, task))
            member.u = row.u = member.u / (10 if task % 3 == 0 else 1)
    found = stock(text_project)
    for queued in ([task for task, _ in found.holdouts], [task for task, _ in found.control]):
        assert len(queued) == 30
        for length in range(1, 31):
            small = sum(task % 3 == 0 for task in queued[:length])
            assert abs(small - length / 3) <= 1


def test_members_of_an_earlier_era_are_ordinary_tasks_again(text_project):
    text_project.hold_out(test=[3])
    text_project.hold_out(test=[4])
    assert [task for task, _ in stock(text_project).holdouts] == [4]
    assert 3 in stock(text_project).others


def test_a_task_whose_annotation_is_deleted_is_queued_again_at_its_place(database, text_project):
    with database.write() as session:
        project = session.get_one(Project, text_project.id)
        queue.stage(
            session,
            project,
            "asknext-x-q1.1",
            1,
            [(0, Position(0, "strategy", 1, "margin")), (1, Position(1, "strategy", 2, "margin"))],
        )
        queue.put_in_force(database, session, project, "asknext-x-q1.1")
    text_project.annotate_truly([1])
    with database.write() as session:
        project = session.get_one(Project, text_project.id)
        queue.resolve_answered(session, project)
        assert [p.task_id for p in queue.current_queue(session, project).positions] == [2]
        session.execute(sa.update(Annotation).values(deleted_at=1.0))
        queue.resolve_answered(session, project)
        assert [p.task_id for p in queue.current_queue(session, project).positions] == [1, 2]
