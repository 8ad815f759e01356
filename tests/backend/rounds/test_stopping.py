"""Stopping advice: figures from earlier models, and a stream that pauses where that is asked."""

import json
import time

import numpy as np
import pytest

from backend.errors import LabelStudioRefusedError
from backend.labelstudio import LabelStudio
from backend.rounds.stopping import _look_without_control, stopping_figures
from backend.store.tables import Round
from backend.stream import BY_HAND, NOTICE, follow_advice, pause
from tests.backend.rounds.test_lift import Clusters
from tests.backend.text_project import LABEL_CONFIG
from tests.backend.unreliable_labelstudio import PERSONAL_TOKEN, UnreliableLabelStudio


@pytest.fixture
def learnt(text_project):
    """Ten rounds of 24 labels each on an easy mixture, with 200 labelled validation tasks."""
    clusters = Clusters(text_project)
    order = np.random.default_rng(3).permutation(clusters.count)
    judged, rest = order[:200], order[200:]
    text_project.hold_out(validation=clusters.ids[judged].tolist())
    clusters.label(judged)
    for number in range(1, 11):
        clusters.label(rest[24 * (number - 1) : 24 * number])
        text_project.train_round(number)
        with text_project.database.write() as session:
            session.add(
                Round(
                    project_id=text_project.id,
                    number=number,
                    state="done",
                    trained_on=24 * number,
                    started_at=time.time() + number,
                )
            )
    return text_project


def figures(project, alpha=None):
    context = project.context()
    return stopping_figures(context, context.live_model(), 241, alpha)


def configure(project, **changes):
    project.update(config={**project.row().config, **changes})


def test_figures_come_from_the_models_of_earlier_rounds(learnt):
    found = figures(learnt)
    assert len(found["stability"]["kappas"]) == 3
    assert 0.7 < found["stability"]["kappa"] <= 1.0
    assert found["gain"]["models"] >= 5
    assert found["gain"]["per_100"] < found["gain"]["upper"]
    assert 0.5 < found["forecast"]["low"] < found["forecast"]["value"] <= 1.0
    assert found["forecast"]["labels"] == 964
    assert found["target"] is None
    json.dumps(found)


def test_a_target_is_judged_at_looks_only(learnt):
    configure(learnt, target_accuracy=0.6)
    assert figures(learnt)["target"] is None
    found = figures(learnt, alpha=0.0125)
    assert found["target"]["reached"]
    assert any("has reached 0.600" in text for text in found["advice"])
    configure(learnt, target_accuracy=0.999)
    assert not figures(learnt, alpha=0.0125)["target"]["reached"]


def test_a_small_gain_is_advice_where_the_admin_set_a_price(learnt):
    assert not any("100 more labels" in text for text in figures(learnt)["advice"])
    configure(learnt, least_gain=50.0)
    assert any("less than the 50 asked for" in text for text in figures(learnt)["advice"])


def test_with_one_model_nothing_is_advised(text_project):
    text_project.annotate_truly(range(1, 31))
    text_project.train_round(1)
    found = stopping_figures(text_project.context(), text_project.context().live_model(), 30, None)
    assert found["advice"] == []
    assert found["stability"]["kappa"] is None
    assert "too few" in found["gain"]["reason"]


def advise(project, **signs):
    """The newest round's advice: signs with their sentences."""
    with project.database.write() as session:
        row = session.get(Round, (project.id, 1))
        if row is None:
            row = Round(project_id=project.id, number=1, state="done", started_at=1.0)
            session.add(row)
        row.metrics = {"stopping": {"signs": list(signs), "advice": list(signs.values())}}
    project.update(round_number=1)


def test_advice_pauses_the_stream_once_and_only_where_that_is_asked(text_project):
    advise(text_project, stability="Predictions have stabilised.")
    with (
        UnreliableLabelStudio(LABEL_CONFIG) as server,
        LabelStudio(server.url, PERSONAL_TOKEN, patience=0.0) as client,
    ):

        def follow():
            follow_advice(text_project.database, client, text_project.row())
            return text_project.row().state

        assert follow() == "active"
        configure(text_project, on_stop="pause")
        assert follow() == "paused"
        assert "stabilised" in text_project.row().pause_reason
        assert server.project["maximum_annotations"] == 0
        text_project.update(state="active", pause_reason=None)
        assert follow() == "active"
        # What else speaks for it later is advice that nobody has heard yet.
        advise(text_project, stability="Predictions have stabilised.", target="It is reached.")
        assert follow() == "paused"
        assert text_project.row().followed_advice == ["stability", "target"]


def test_advice_that_could_not_be_followed_is_followed_later(text_project):
    """Label Studio was away: the stream still has to be stopped."""
    advise(text_project, gain="100 more labels gain at most 0.10 points.")
    configure(text_project, on_stop="pause")
    with (
        UnreliableLabelStudio(LABEL_CONFIG) as server,
        LabelStudio(server.url, PERSONAL_TOKEN, patience=0.0) as client,
    ):
        server.fail("PATCH", "/api/projects/7/", 400)
        with pytest.raises(LabelStudioRefusedError):
            follow_advice(text_project.database, client, text_project.row())
        assert (text_project.row().state, text_project.row().followed_advice) == ("active", [])
        follow_advice(text_project.database, client, text_project.row())
        assert text_project.row().state == "paused"


def test_without_a_control_the_target_is_looked_at_when_the_labels_have_doubled(text_project):
    configure(text_project, random_share=0.0, accept_no_control=True, budget=500)
    text_project.hold_out(validation=range(41, 61))
    looks = []
    for number, trained_on in enumerate((60, 120, 150, 260, 300), 1):
        looks.append(_look_without_control(text_project.context(), trained_on))
        with text_project.database.write() as session:
            session.add(
                Round(
                    project_id=text_project.id,
                    number=number,
                    state="done",
                    started_at=time.time(),
                    trained_on=trained_on,
                )
            )
    # Planned at 100, 200 and 400 labels, with an error of 0.05 for all.
    assert looks == [None, pytest.approx(0.05 / 3), None, pytest.approx(0.05 / 3), None]


def test_annotators_are_told_to_stop_even_where_the_first_try_got_no_answer(text_project):
    """Where the stream cannot be stopped, because only a part of the tasks goes to several."""
    with (
        UnreliableLabelStudio(LABEL_CONFIG) as server,
        LabelStudio(server.url, PERSONAL_TOKEN, patience=0.0) as client,
    ):
        server.project |= {
            "maximum_annotations": 2,
            "overlap_cohort_percentage": 50,
            "expert_instruction": "Look closely.",
            "show_instruction": False,
        }
        server.fail("PATCH", "/api/projects/7/", 400)
        with pytest.raises(LabelStudioRefusedError):
            pause(text_project.database, client, text_project.row())
        for _ in range(2):
            pause(text_project.database, client, text_project.row())
        assert server.project["expert_instruction"] == f"{NOTICE}Look closely."
        assert text_project.row().pause_reason == BY_HAND
        assert text_project.row().restore["instruction"]["expert_instruction"] == "Look closely."
