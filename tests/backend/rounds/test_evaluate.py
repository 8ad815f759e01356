"""What a round measures: each set apart, and nothing claimed without labels."""

import json

import pytest

from backend.evaluation.holdout import permanent_random_number
from backend.rounds import queue, train
from backend.rounds.control import score_control
from backend.rounds.evaluate import calibrate_and_measure, control_figures, labelled_validation
from backend.rounds.window import Position
from backend.store.evaluation_tables import ControlScore, SplitMember
from backend.store.tables import Project
from tests.backend.text_project import topic_of


def test_metrics_say_on_how_many_labelled_members_they_stand(text_project):
    text_project.hold_out(test=range(31, 49), validation=range(49, 61))
    answered = in_order(text_project, range(31, 49))[:12] + in_order(text_project, range(49, 61))
    text_project.annotate_truly([*range(1, 31), *answered[:-1]])
    context = text_project.context()
    model, _ = train.train(context, 1, text_project.lease("round"))
    model, metrics = calibrate_and_measure(context, model, 1)
    assert (metrics["test"]["labelled"], metrics["validation"]["labelled"]) == (12, 11)
    assert metrics["test"]["accuracy"] > 0.6  # chance is a third
    assert 0 <= metrics["test"]["macro_f1"] <= 1
    assert 0 <= metrics["test"]["expected_calibration_error"] <= 1
    assert metrics["temperature"] == model.temperature != 1.0
    json.dumps(metrics)


def in_order(project, task_ids):
    """Tasks in order of their permanent random numbers, as the queue serves them."""
    secret = project.row().secret
    return sorted(task_ids, key=lambda n: permanent_random_number(secret, str(n)))


def test_labels_beyond_the_first_unanswered_member_are_no_random_sample(text_project):
    """Labelled before the draw, or opened by hand: told of, and in no figure."""
    text_project.hold_out(test=range(31, 49), validation=range(49, 61))
    test, validation = in_order(text_project, range(31, 49)), in_order(text_project, range(49, 61))
    text_project.annotate_truly([*range(1, 31), *test[:3], *test[4:9], *validation[2:]])
    context = text_project.context()
    model, _ = train.train(context, 1, text_project.lease("round"))
    model, metrics = calibrate_and_measure(context, model, 1)
    assert (metrics["test"]["labelled"], metrics["test"]["beyond_prefix"]) == (3, 5)
    assert (metrics["validation"]["labelled"], metrics["validation"]["beyond_prefix"]) == (0, 10)
    assert metrics["test"]["interval"]["items"] == 3
    assert model.temperature == 1.0
    assert labelled_validation(context)[0].task_ids == []


@pytest.mark.parametrize("name", ["test", "validation"])
def test_skips_of_a_frozen_set_widen_what_is_known(text_project, name):
    text_project.hold_out(**{name: range(31, 43)})
    order = in_order(text_project, range(31, 43))
    text_project.annotate_truly([*range(1, 31), *order[:6]])
    for task in order[6:8]:
        for person in (1, 2):
            text_project.annotate(task, None, by=person, skipped=True)
    context = text_project.context()
    model, _ = train.train(context, 1, text_project.lease("round"))
    _, metrics = calibrate_and_measure(context, model, 1)
    skips, right = metrics[name]["skips"], metrics[name]["interval"]["hits"]
    assert (metrics[name]["labelled"], skips["asked"], skips["skipped"]) == (6, 8, 2)
    assert (skips["low"], skips["high"]) == (right / 8, (right + 2) / 8)


def test_without_labelled_holdouts_nothing_is_claimed(text_project):
    text_project.annotate_truly(range(1, 31))
    context = text_project.context()
    model, _ = train.train(context, 1, text_project.lease("round"))
    model, metrics = calibrate_and_measure(context, model, 1)
    for split in ("test", "validation"):
        assert (metrics[split]["labelled"], metrics[split]["accuracy"]) == (0, None)
    assert model.temperature == 1.0


def test_late_test_members_are_a_supplement(text_project):
    text_project.hold_out(test=range(31, 41))
    text_project.annotate_truly(range(1, 41))
    with text_project.database.write() as session:
        for task_id in (38, 39, 40):
            session.get_one(SplitMember, (text_project.id, 1, task_id)).late = True
    context = text_project.context()
    model, _ = train.train(context, 1, text_project.lease("round"))
    _, metrics = calibrate_and_measure(context, model, 1)
    assert (metrics["test"]["labelled"], metrics["supplement"]["labelled"]) == (7, 3)


def resolve(project):
    """What a sync does with answered positions."""
    with project.database.write() as session:
        queue.resolve_answered(session, session.get_one(Project, project.id))


def serve_control(project):
    """Queue all of the control; its tasks in their order."""
    with project.database.write() as session:
        row = session.get_one(Project, project.id)
        order = [task for task, _ in queue.stock(session, row).control]
        positions = [
            Position(n, "random", task, "random", None, 0.2) for n, task in enumerate(order)
        ]
        queue.stage(session, row, "v1", 1, list(enumerate(positions)))
        queue.put_in_force(project.database, session, row, "v1")
    return order


def figures_of(context, round_number):
    """The control's figures beside the model in force."""
    return control_figures(context, context.live_model(), round_number)


class TestControl:
    """Validation (c): each label counts for the model that did not know it."""

    @pytest.fixture
    def queued(self, text_project):
        text_project.hold_out(control=range(30, 42))
        text_project.annotate_truly(range(1, 21))
        text_project.train_round(1)
        return text_project, serve_control(text_project)

    def test_the_models_confidence_elsewhere_helps_where_there_is_enough_to_help(
        self, text_project
    ):
        text_project.hold_out(control=range(10, 61))
        text_project.annotate_truly(range(1, 10))
        text_project.train_round(1)
        order = serve_control(text_project)
        text_project.annotate_truly(order[:22])
        for task in order[22:44]:  # labels that no model can know
            other = next(name for name in ("weather", "cooking") if name != topic_of(task))
            text_project.annotate(task, other)
        resolve(text_project)
        context = text_project.context()
        score_control(context, context.live_model())
        figures = figures_of(context, 2)
        powered, plain = figures["powered"]["all"], figures["all"]
        assert powered["reason"] is None
        assert powered["items"] == plain["items"] == 44
        assert powered["low"] < plain["value"] < powered["high"]
        # 44 of a pool of 60 are known: the finite pool leaves less to chance.
        assert powered["high"] - powered["low"] < 0.8 * (plain["high"] - plain["low"])
        assert figures["powered"]["recent"] == powered
        with text_project.database.read() as session:
            score = session.get_one(ControlScore, (text_project.id, order[0]))
        assert 1 / 3 < score.reserve_confidence <= 1
        json.dumps(figures)

    def test_with_few_labels_there_is_no_help_but_a_reason(self, queued):
        project, order = queued
        project.annotate_truly(order[:6])
        resolve(project)
        context = project.context()
        score_control(context, context.live_model())
        assert "too few" in figures_of(context, 2)["powered"]["all"]["reason"]

    def test_only_the_answered_prefix_counts(self, queued):
        project, order = queued
        # The fourth in order is not answered yet: the fifth may be no typical one.
        project.annotate_truly([*order[:3], order[4]])
        resolve(project)
        context = project.context()
        score_control(context, context.live_model())
        figures = figures_of(context, 2)
        assert figures["all"]["items"] == 3
        project.annotate_truly([order[3]])
        resolve(project)
        score_control(context, context.live_model())
        assert figures_of(context, 2)["all"]["items"] == 5

    def test_skips_widen_what_is_known_and_are_never_replaced(self, queued):
        project, order = queued
        project.annotate_truly(order[:6])
        for task in order[6:8]:
            project.annotate(task, None, skipped=True)
            project.annotate(task, None, by=2, skipped=True)
        resolve(project)
        context = project.context()
        score_control(context, context.live_model())
        figures = figures_of(context, 2)
        assert (figures["skips"]["asked"], figures["skips"]["skipped"]) == (8, 2)
        right = figures["all"]["hits"]
        assert figures["skips"]["low"] == right / 8
        assert figures["skips"]["high"] == (right + 2) / 8
        assert "2 of 8" in figures["skips"]["warning"]

    def test_skips_from_before_the_first_model_compare_with_nothing_that_was_scored(
        self, text_project
    ):
        text_project.hold_out(control=range(30, 42))
        order = serve_control(text_project)
        for task in order[:2]:
            for person in (1, 2):
                text_project.annotate(task, None, by=person, skipped=True)
        resolve(text_project)
        text_project.annotate_truly(range(1, 21))
        text_project.train_round(1)
        text_project.annotate_truly(order[2:8])
        resolve(text_project)
        context = text_project.context()
        score_control(context, context.live_model())
        skips = figures_of(context, 2)["skips"]
        assert (skips["asked"], skips["skipped"]) == (6, 0)

    def test_recent_rounds_are_told_apart_and_corrected_labels_count(self, queued):
        project, order = queued
        first = [project.annotate(task, topic_of(task)) for task in order[:4]]
        context = project.context()
        score_control(context, context.live_model())
        project.train_round(2)
        project.annotate_truly(order[4:6])
        resolve(project)
        score_control(project.context(), project.context().live_model())
        figures = figures_of(project.context(), 5)
        assert (figures["all"]["items"], figures["recent"]["items"]) == (6, 2)
        hits = figures["all"]["hits"]
        wrong = next(name for name in ("weather", "cooking") if name != topic_of(order[0]))
        project.edit(first[0], wrong)
        with project.database.read() as session:
            said = session.get_one(ControlScore, (project.id, order[0])).predicted
        change = (said == wrong) - (said == topic_of(order[0]))
        assert figures_of(project.context(), 5)["all"]["hits"] == hits + change
        json.dumps(figures)

    def test_a_model_is_never_scored_on_what_it_trained_on(self, text_project):
        """Labelled before a new era made it a control task: the model knows it already."""
        text_project.annotate_truly(range(1, 31))
        text_project.train_round(1)
        text_project.hold_out(control=[5, 40])
        text_project.annotate_truly([40])
        context = text_project.context()
        assert score_control(context, context.live_model()) == 1
