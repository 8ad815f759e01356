"""The random control: closed to the strategy, scored before it trains, drawn anew when it ends."""

import sqlalchemy as sa

from backend.rounds import queue
from backend.rounds.control import extend_control, score_control
from backend.rounds.holdout import manifest_digest
from backend.rounds.numbering import current_era
from backend.rounds.rank import Ranker
from backend.rounds.train import training_tasks
from backend.rounds.training_set import rolling_validation, scored_control, withheld
from backend.rounds.window import Position
from backend.store.evaluation_tables import ControlScore
from backend.store.tables import Project, Task


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
