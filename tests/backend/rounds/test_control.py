"""The random control: closed to the strategy, scored before it trains, drawn anew when it ends."""

import sqlalchemy as sa

from backend.rounds import mirror, queue
from backend.rounds.control import extend_control, score_control
from backend.rounds.holdout import manifest_digest
from backend.rounds.numbering import current_era
from backend.rounds.rank import Ranker
from backend.rounds.train import training_tasks
from backend.rounds.training_set import rolling_validation, scored_control, withheld
from backend.rounds.window import Position
from backend.store.evaluation_tables import ControlScore, SplitMember
from backend.store.tables import ContentFailure, Project, Task
from tests.backend.text_project import text_of


def extend(project):
    with project.database.write() as session:
        return extend_control(project.database, session, session.get_one(Project, project.id))


def control(project):
    with project.database.read() as session:
        found = queue.roles(session, project.row())
    return {task for task, role in found.items() if role == "control"}


def scores(project):
    with project.database.read() as session:
        return {row.task_id: row for row in session.scalars(sa.select(ControlScore))}


def trains(project, round_number):
    return set(training_tasks(project.context(), round_number).task_ids)


def test_the_strategy_never_chooses_a_control_task(text_project):
    text_project.hold_out(control=range(30, 45))
    text_project.annotate_truly(range(1, 21))
    text_project.train_round(1)
    ranker = Ranker(text_project.context(), text_project.context().live_model(), 2)
    chosen = {choice.task_id for choice in ranker.choose(60, frozenset())}
    assert chosen == set(range(21, 61)) - set(range(30, 45))


class TestExtending:
    """A control that runs dry grows by a random part of what nothing is labelled of."""

    def test_one_that_holds_enough_stays(self, text_project):
        text_project.hold_out(control=range(30, 45))
        assert extend(text_project) == 0

    def test_it_takes_the_highest_numbers_of_the_untouched(self, text_project):
        text_project.hold_out(test=[3], control=[30])
        text_project.annotate_truly([30, 1, 2])
        assert extend(text_project) == 14  # a quarter of 56
        grown = control(text_project) - {30}
        with text_project.database.read() as session:
            era = current_era(session, text_project.row())
        assert (era.frames[-1]["size"], era.frames[-1]["members"]) == (56, 14)
        low = era.intervals["all tasks"]["control"][0]
        numbers = _numbers(text_project)
        assert grown == {task for task in set(range(1, 61)) - {1, 2, 3, 30} if numbers[task] >= low}
        assert extend(text_project) == 0

    def test_what_is_frozen_keeps_its_hash(self, text_project):
        text_project.hold_out(test=[3], control=[30])
        with text_project.database.write() as session:
            era = current_era(session, session.get_one(Project, text_project.id))
            era.digest = manifest_digest(era)
        text_project.annotate_truly([30])
        assert extend(text_project) > 0
        with text_project.database.read() as session:
            era = current_era(session, text_project.row())
        assert era.digest == manifest_digest(era)

    def test_it_grows_by_what_nobody_can_be_asked_about_any_more(self, text_project):
        """Deleted, unreadable and excluded tasks are left, and yet there is nothing to queue."""
        text_project.hold_out(control=range(30, 45))
        with text_project.database.write() as session:
            mirror.delete_tasks(session, text_project.id, list(range(30, 40)))
            for task in range(40, 45):
                session.add(
                    ContentFailure(
                        project_id=text_project.id, task_id=task, message="", retry_at=4e9
                    )
                )
        assert extend(text_project) > 0

    def test_a_few_large_groups_are_never_all_taken(self, text_project):
        """Nobody would be left to train on: of one group, or of three, the control takes none."""
        config = {**text_project.row().config, "group_by": "patient", "budget": 60}
        text_project.update(config=config)
        for patients, expected in ((1, 0), (3, 0), (4, 15)):
            text_project.hold_out(control=[])
            with text_project.database.write() as session:
                era = current_era(session, session.get_one(Project, text_project.id))
                era.group_by = "patient"
                for task in range(1, 61):
                    row = session.get_one(Task, (text_project.id, task))
                    row.fields = {"patient": f"p{task % patients}"}
                    row.u = 0.1 + task % patients / 10
            assert extend(text_project) == expected

    def test_without_a_random_share_there_is_none(self, text_project):
        text_project.hold_out(control=[])
        config = {**text_project.row().config, "random_share": 0.0, "accept_no_control": True}
        text_project.update(config=config)
        assert extend(text_project) == 0


class TestBeforeTraining:
    """A control label scores a model that did not know it; rounds later it trains."""

    def test_labels_that_come_before_the_first_model_train_at_once(self, text_project):
        text_project.hold_out(control=[30, 31])
        text_project.annotate_truly([1, 2, 3, 30])
        assert score_control(text_project.context(), None) == 0
        assert scores(text_project)[30].predicted is None
        assert trains(text_project, 1) == {1, 2, 3, 30}

    def test_others_are_scored_by_the_model_in_force_and_train_after_three_rounds(
        self, text_project
    ):
        text_project.hold_out(control=range(30, 36))
        text_project.annotate_truly(range(1, 21))
        text_project.train_round(1)
        text_project.annotate_truly([30, 31])
        context = text_project.context()
        assert score_control(context, context.live_model()) == 2
        found = scores(text_project)
        assert {task: row.round for task, row in found.items()} == {30: 1, 31: 1}
        assert found[30].predicted == max(found[30].given, key=found[30].given.get)
        assert sum(found[30].given.values()) > 0.999
        for round_number in (2, 3, 4):
            assert not {30, 31} & trains(text_project, round_number)
        assert {30, 31} <= trains(text_project, 5)

    def test_a_label_is_scored_once_by_the_model_of_its_time(self, text_project):
        text_project.hold_out(control=range(30, 36))
        text_project.annotate_truly(range(1, 21))
        text_project.train_round(1)
        text_project.annotate_truly([30])
        context = text_project.context()
        score_control(context, context.live_model())
        text_project.train_round(2)
        text_project.annotate_truly([31])
        score_control(context, context.live_model())
        assert {task: row.round for task, row in scores(text_project).items()} == {30: 1, 31: 2}
        with text_project.database.read() as session:
            project = text_project.row()
            for round_number, expected in ((3, {30, 31}), (5, {31}), (6, set())):
                kept = scored_control(session, project, round_number, control(text_project))
                assert {score.task_id for score in kept} == expected

    def test_a_label_that_is_not_scored_yet_does_not_train(self, text_project):
        text_project.hold_out(control=[30])
        text_project.annotate_truly([1, 2, 30])
        assert trains(text_project, 1) == {1, 2}


class TestGroups:
    """A model that was trained on one slice of a patient knows the others."""

    def grouped(self, project, control=((30, 31, 32), (33,))):
        """Control patients of these slices, each with one number."""
        tasks = [task for patient in control for task in patient]
        project.hold_out(control=tasks)
        with project.database.write() as session:
            for place, patient in enumerate(control):
                for task in patient:
                    member = session.get_one(SplitMember, (project.id, 1, task))
                    row = session.get_one(Task, (project.id, task))
                    member.u = row.u = 0.9 + place / 100

    def arrive(self, project, task):
        """A later slice of the patient of task 30."""
        with project.database.write() as session:
            found = session.get_one(SplitMember, (project.id, 1, 30))
            session.add(
                SplitMember(
                    project_id=project.id,
                    era=1,
                    task_id=task,
                    role="control",
                    u=found.u,
                    late=True,
                    drawn_at=found.drawn_at + 1,
                )
            )

    def score(self, project, round_number):
        context = project.context()
        project.update(model_round=round_number)
        return score_control(context, context.live_model())

    def test_no_slice_trains_before_all_of_its_patient_have_measured(self, text_project):
        self.grouped(text_project)
        text_project.annotate_truly(range(1, 21))
        text_project.train_round(1)
        text_project.annotate_truly([30, 31, 33])
        assert self.score(text_project, 1) == 3
        # Rounds later the patient of one slice trains; the other's third slice was never asked.
        assert trains(text_project, 5) & {30, 31, 32, 33} == {33}
        text_project.train_round(5)
        text_project.annotate_truly([32])
        assert trains(text_project, 6) & {30, 31, 32, 33} == {33}
        assert self.score(text_project, 5) == 1
        assert trains(text_project, 8) & {30, 31, 32, 33} == {33}
        assert trains(text_project, 9) & {30, 31, 32, 33} == {30, 31, 32, 33}

    def test_what_is_skipped_in_the_end_or_deleted_holds_nobody_back(self, text_project):
        self.grouped(text_project)
        text_project.annotate_truly(range(1, 21))
        text_project.train_round(1)
        text_project.annotate_truly([30])
        for person in (1, 2):
            text_project.annotate(31, None, by=person, skipped=True)
        self.score(text_project, 1)
        assert 30 not in trains(text_project, 5)
        with text_project.database.write() as session:
            session.get_one(Task, (text_project.id, 32)).deleted_at = 1.0
        assert 30 in trains(text_project, 5)

    def test_what_has_trained_goes_on_training_when_a_later_slice_is_still_to_be_asked(
        self, text_project
    ):
        self.grouped(text_project, control=((30, 31),))
        text_project.annotate_truly(range(1, 21))
        text_project.train_round(1)
        text_project.annotate_truly([30, 31])
        self.score(text_project, 1)
        text_project.train_round(5)
        text_project.update(model_round=5)
        self.arrive(text_project, 40)
        assert {30, 31} <= trains(text_project, 6)

    def test_a_slice_that_comes_after_its_patient_trained_measures_nothing(self, text_project):
        self.grouped(text_project, control=((30, 31),))
        with text_project.database.write() as session:
            session.delete(session.get_one(SplitMember, (text_project.id, 1, 31)))
        text_project.annotate_truly([*range(1, 21), 30])
        score_control(text_project.context(), None)
        text_project.train_round(1)
        assert 30 in trains(text_project, 2)
        self.arrive(text_project, 31)
        text_project.annotate_truly([31])
        assert self.score(text_project, 1) == 0
        assert scores(text_project)[31].predicted is None


def test_a_task_that_just_came_waits_until_it_is_known_whether_it_is_held_out(text_project):
    """Between its sync and its role it might be a test task that somebody labelled already."""
    text_project.hold_out(test=[3])
    with text_project.database.write() as session:
        project = session.get_one(Project, text_project.id)
        tasks = [{"id": n, "data": {"text": f"Late {n}"}} for n in (100, 101)]
        mirror.write_tasks(text_project.database, session, project, tasks)
    context = text_project.context()
    hashes = [mirror.content_hash(f"Late {n}") for n in (100, 101)]
    context.cache.add(hashes, context.cache.get([mirror.content_hash(text_of(1))] * 2))
    text_project.annotate(100, "weather")

    def seen():
        with text_project.database.read() as session:
            others = queue.stock(session, text_project.row()).others
        ranker = Ranker(text_project.context(), None, 2)
        chosen = {choice.task_id for choice in ranker.choose(62, frozenset())}
        return 100 in trains(text_project, 1), 101 in others, 101 in chosen

    assert seen() == (False, False, False)
    with text_project.database.write() as session:
        for task in (100, 101):
            session.get_one(Task, (text_project.id, task)).role_era = 1
    assert seen() == (True, True, True)


def test_labels_from_before_the_budget_leave_it_whole(text_project):
    """A pool that was half labelled when it was connected still has all of its random share."""
    config = {**text_project.row().config, "budget": 40, "random_share": 0.2}
    text_project.update(config=config)
    text_project.hold_out(control=[30])
    text_project.annotate_truly([*range(1, 25), 30])
    assert extend(text_project) == 8
    text_project.update(created_at=0.0)  # all of them were paid: 15 are left
    with text_project.database.write() as session:
        session.execute(sa.delete(SplitMember).where(SplitMember.late))
    assert extend(text_project) == 3


def test_blind_picks_of_the_strategy_validate_before_they_train(text_project):
    positions = [
        Position(0, "strategy", 1, "margin", 0.5, rolling=True),
        Position(1, "strategy", 2, "margin", 0.4),
    ]
    with text_project.database.write() as session:
        project = session.get_one(Project, text_project.id)
        queue.stage(session, project, "v1", 2, list(enumerate(positions)))
        queue.put_in_force(text_project.database, session, project, "v1")
        assert queue.current_queue(session, project).positions == positions
    text_project.annotate_truly([1, 2, 3])
    with text_project.database.write() as session:
        project = session.get_one(Project, text_project.id)
        queue.resolve_answered(session, project)
        assert rolling_validation(session, project, 3) == {1}
        assert withheld(session, project, 3).rolling == {1}
        assert rolling_validation(session, project, 6) == set()
    assert trains(text_project, 3) == {2, 3}
    assert trains(text_project, 6) == {1, 2, 3}


def _numbers(project):
    with project.database.read() as session:
        rows = session.execute(sa.select(Task.task_id, Task.u))
        return {row.task_id: row.u for row in rows}
