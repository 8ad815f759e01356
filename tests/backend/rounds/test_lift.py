"""Lift on a live project: a harmful strategy is seen, a lucky one is not, looks are few."""

import time

import numpy as np
import pytest
import sqlalchemy as sa

from backend.config import QueueConfig
from backend.evaluation.control_blocks import Block
from backend.overview import project_overview
from backend.rounds import mirror
from backend.rounds.labels import derive_labels
from backend.rounds.lift import (
    FEWEST_AT_START,
    Rival,
    _is_chance,
    compare,
    is_failing,
    look_if_due,
)
from backend.rounds.numbering import current_era
from backend.rounds.rank import Ranker
from backend.store.evaluation_tables import ControlDraw
from backend.store.tables import Pick, Project, TrainingManifest
from tests.backend.text_project import CLASSES

START, ROUNDS, PER_ROUND, JUDGED = 12, 40, 4, 240


class Clusters:
    """A project whose items are a Gaussian mixture: the class is the nearest of three centres."""

    def __init__(self, project, seed=0):
        self.project = project
        rng = np.random.default_rng(seed)
        self.dimension = project.context().encoder.dimension
        self.count = 1_200
        centres = 0.9 * rng.normal(size=(3, 4))
        self.classes = rng.integers(3, size=self.count)
        points = np.zeros((self.count, self.dimension), dtype=np.float32)
        points[:, :4] = centres[self.classes] + 0.6 * rng.normal(size=(self.count, 4))
        points[:, 4:] = 0.05 * rng.normal(size=(self.count, self.dimension - 4))
        self.points = points
        self.ids = np.arange(1_000, 1_000 + self.count)
        tasks = [{"id": int(n), "data": {"text": f"Item {n}"}} for n in self.ids]
        with project.database.write() as session:
            row = session.get_one(Project, project.id)
            mirror.write_tasks(project.database, session, row, tasks)
        hashes = [mirror.content_hash(f"Item {n}") for n in self.ids]
        project.context().cache.add(hashes, points)
        self.annotations = 0

    def label(self, positions):
        seen = []
        for position in positions:
            self.annotations += 1
            at = f"2026-11-24T08:00:00.{self.annotations:06d}Z"
            annotation = {
                "id": 10_000 + self.annotations,
                "completed_by": 1,
                "was_cancelled": False,
                "ground_truth": False,
                "lead_time": 1.0,
                "result": [
                    {
                        "id": "r",
                        "from_name": "topic",
                        "to_name": "content",
                        "type": "choices",
                        "value": {"choices": [CLASSES[self.classes[position]]]},
                    }
                ],
                "created_at": at,
                "updated_at": at,
            }
            seen.append({"id": int(self.ids[position]), "annotations": [annotation]})
        with self.project.database.write() as session:
            touched = mirror.write_annotations(
                self.project.database, session, self.project.id, seen
            )
            row = session.get_one(Project, self.project.id)
            derive_labels(self.project.database, session, row, touched)

    def play(self, choose, seed=1, branches=("margin",)):
        """40 rounds of 4 control labels and 4 picks of `choose(positions left, count)`.

        With several branches as many of each, by the function of its name in `choose`.
        """
        rng = np.random.default_rng(seed)
        order = rng.permutation(self.count)
        judged, start, rest = np.split(order, [JUDGED, JUDGED + START])
        control, pool = rest[: ROUNDS * PER_ROUND], list(rest[ROUNDS * PER_ROUND :])
        self.project.hold_out(
            validation=self.ids[judged].tolist(), control=self.ids[control].tolist()
        )
        self.label([*judged, *start])
        self.project.train_round(1)
        picks, draws = [], []
        for number in range(ROUNDS):
            for branch in branches:
                one = choose[branch] if isinstance(choose, dict) else choose
                chosen = one(pool, PER_ROUND)
                pool = [position for position in pool if position not in set(chosen)]
                picks += [(number + 2, position, branch) for position in chosen]
            part = control[number * PER_ROUND : (number + 1) * PER_ROUND]
            draws += [(number + 2, position) for position in part]
        now = time.time()
        with self.project.database.write() as session:
            for place, (number, position, branch) in enumerate(picks):
                session.add(
                    Pick(
                        project_id=self.project.id,
                        version="v",
                        position=place,
                        ordinal=place,
                        round=number,
                        task_id=int(self.ids[position]),
                        family="strategy",
                        branch=branch,
                        blind=False,
                        state="resolved",
                        created_at=now,
                    )
                )
            for place, (number, position) in enumerate(draws):
                session.add(
                    ControlDraw(
                        project_id=self.project.id,
                        task_id=int(self.ids[position]),
                        ordinal=10_000 + place,
                        round=number,
                        frame_size=self.count,
                        probability=0.1,
                        drawn_at=now,
                    )
                )
        self.label([*(position for _, position, _ in picks), *(position for _, position in draws)])


@pytest.fixture
def clusters(text_project):
    config = QueueConfig(encoder="static", on_failure="random", budget=1_000)
    text_project.update(config=config.model_dump(mode="json"))
    return Clusters(text_project)


def harmful(clusters):
    """Takes one class only, the items nearest to its centre: what the model knows already."""

    def choose(pool, count):
        mine = [p for p in pool if clusters.classes[p] == 0]
        centre = clusters.points[mine].mean(axis=0)
        return sorted(mine, key=lambda p: float(((clusters.points[p] - centre) ** 2).sum()))[:count]

    return choose


def chance(seed):
    rng = np.random.default_rng(seed)
    return lambda pool, count: [pool[i] for i in rng.permutation(len(pool))[:count]]


def test_a_harmful_strategy_is_seen_warned_of_and_replaced_by_chance(clusters):
    project = clusters.project
    clusters.play(harmful(clusters))
    context = project.context()
    found = look_if_due(context, context.live_model())
    assert found["lift"]["verdict"] == "below"
    assert found["lift"]["high"] < 0 < found["lift"]["smallest_visible"]
    assert found["labels_saved"]["share"] < 0
    shown = project_overview(project.settings, project.database, project.row())
    assert any("worse than random" in warning for warning in shown["warnings"])
    ranker = Ranker(project.context(), project.context().live_model(), 3)
    branches = [choice.branch for choice in ranker.choose(20, frozenset())]
    net = "random (safety net): stratified"
    # One pick in five is still the strategy's, in every part of the window.
    assert [sum(one != net for one in branches[n : n + 5]) for n in (0, 5, 10, 15)] == [1] * 4
    assert "stratified random replaces all but 20%" in ranker.note
    # Without the net the admin is warned only.
    project.update(config={**project.row().config, "on_failure": "warn", "strategy": "margin"})
    ranker = Ranker(project.context(), project.context().live_model(), 3)
    assert {choice.branch for choice in ranker.choose(20, frozenset())} == {"margin"}


def test_a_strategy_is_back_once_a_later_look_sees_no_harm(clusters):
    project = clusters.project
    clusters.play(harmful(clusters))
    context = project.context()
    look_if_due(context, context.live_model())
    with project.database.write() as session:
        era = current_era(session, project.row())
        era = session.merge(era)
        last = era.reports["comparisons"][-1]
        later = {**last, "lift": {**last["lift"], "verdict": "not visible"}}
        era.reports = {**era.reports, "comparisons": [last, later]}
    ranker = Ranker(project.context(), project.context().live_model(), 3)
    branches = {choice.branch for choice in ranker.choose(20, frozenset())}
    assert not any("safety net" in branch for branch in branches)


def test_the_branches_of_a_mixture_are_told_apart(clusters):
    """One takes what chance takes, the other does harm; a third has hardly any picks."""
    rng = np.random.default_rng(3)

    def few(pool, _):
        return [pool[int(rng.integers(len(pool)))]] if len(pool) % 40 == 0 else []

    choose = {"fair": chance(4), "harmful": harmful(clusters), "few": few}
    clusters.play(choose, branches=tuple(choose))
    context = clusters.project.context()
    found = compare(context, context.live_model(), 0.05)
    by_name = {part["branch"]: part["lift"] for part in found["branches"]}
    assert set(by_name) == {"fair", "harmful"}
    assert by_name["harmful"]["verdict"] == "below"
    assert by_name["fair"]["verdict"] == "not visible"
    assert {part["alpha"] for part in by_name.values()} == {0.025}


def test_a_strategy_that_is_chance_is_not_visible_and_says_what_could_be(clusters):
    clusters.play(chance(5))
    context = clusters.project.context()
    found = compare(context, context.live_model(), 0.0125)
    assert found["lift"]["verdict"] == "not visible"
    assert found["lift"]["low"] < 0 < found["lift"]["high"]
    assert "Lift not visible" in found["sentence"]
    assert found["lift"]["smallest_visible"] > 0
    assert found["rare"]["class"] in CLASSES
    assert found["branches"] == []  # there is one only: the lift itself
    with clusters.project.database.read() as session:
        assert not is_failing(session, clusters.project.row())


def test_the_start_stays_the_start_where_the_strategy_chose_it_itself(clusters):
    """Covering needs no model: its picks before the first model are what that was trained on."""
    clusters.play(chance(8))
    with clusters.project.database.write() as session:
        (first,) = session.scalars(sa.select(TrainingManifest))
        start = [int(member[0]) for member in first.members]
        for place, task in enumerate(start):
            session.add(
                Pick(
                    project_id=clusters.project.id,
                    version="v0",
                    position=place,
                    ordinal=place,
                    round=0,
                    task_id=task,
                    family="strategy",
                    branch="margin > max_herding",
                    blind=False,
                    state="resolved",
                    created_at=1.0,
                )
            )
    context = clusters.project.context()
    found = compare(context, context.live_model(), 0.0125)
    assert found["start"] == len(start) == START
    assert found["lift"]["verdict"] == "not visible"


def test_without_a_start_that_knows_anything_nothing_is_compared(clusters):
    clusters.play(chance(9))
    with clusters.project.database.write() as session:
        (first,) = session.scalars(sa.select(TrainingManifest))
        first.members = first.members[: FEWEST_AT_START - 1]
    context = clusters.project.context()
    found = compare(context, context.live_model(), 0.0125)
    assert found["lift"]["value"] is None
    assert "no model was trained on 10 labels" in found["sentence"]


def test_in_each_round_the_best_picks_are_as_many_as_the_control_is():
    control = Rival({1: [1, 2], 2: [3], 3: [4, 5]})
    picks = Rival({1: [11, 12, 13, 14, 15], 2: [21, 22], 3: [31]})
    block = Block(first=0, last=2, size=5)
    assert picks.within(block, [1, 2, 3], control) == [11, 12, 21, 31, 13]
    assert control.within(block, [1, 2, 3], control) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        *[("random", True), ("random (not embedded yet)", True), ("pin", True)],
        *[("random (safety net): stratified", True), ("auto > random", False)],
        *[("random > margin", False), ("margin", False), ("stratified", False)],
    ],
)
def test_what_chance_chose_is_told_from_what_a_strategy_chose_of_it(branch, expected):
    assert _is_chance(branch) == expected


def test_it_is_looked_at_only_when_the_control_labels_have_doubled(clusters):
    """160 control labels, of up to 400 in the budget: the looks at 20 to 160 fall together."""
    config = {**clusters.project.row().config, "budget": 4_000}
    clusters.project.update(config=config)
    clusters.play(chance(6))
    project = clusters.project

    def look():
        context = project.context()
        return look_if_due(context, context.live_model())

    assert look()["look"] == 4  # those before have lapsed
    assert look() is None
    with project.database.read() as session:
        reports = current_era(session, project.row()).reports
    assert reports["looks"]["at"] == [20, 40, 80, 160, 320]
    assert reports["looks"]["alphas"] == [0.01] * 5
    assert [made["look"] for made in reports["comparisons"]] == [4]
    # A smaller budget plans no more looks than it pays for: what is spent stays spent.
    project.update(config={**config, "budget": 1_500})
    assert look() is None


def test_before_there_are_blocks_it_says_what_is_missing(text_project):
    text_project.hold_out(validation=range(31, 61), control=range(25, 31))
    text_project.annotate_truly([*range(1, 21), *range(31, 61)])
    text_project.train_round(1)
    context = text_project.context()
    found = compare(context, context.live_model(), 0.05)
    assert found["lift"]["value"] is None
    assert "0 blocks" in found["sentence"]
    assert found["labels_saved"]["share"] is None


def test_a_look_with_too_few_blocks_is_no_look_and_comes_again(clusters):
    """All control labels in two rounds make two blocks: nothing of them was seen."""
    project = clusters.project
    clusters.play(chance(7))
    with project.database.write() as session:
        for draw in session.scalars(sa.select(ControlDraw)):
            draw.round = 2 + draw.round % 2
    context = project.context()
    found = look_if_due(context, context.live_model())
    assert "too few" in found["sentence"]
    with project.database.read() as session:
        reports = current_era(session, project.row()).reports
    assert "looks" not in reports
    assert look_if_due(project.context(), context.live_model()) is not None
