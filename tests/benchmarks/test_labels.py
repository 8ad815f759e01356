"""The label-efficiency benchmark: fair splits, an honest head, hand-checked figures."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from backend.models.head import train_head
from benchmarks.labels.__main__ import main
from benchmarks.labels.asknext import AskNext, refusal
from benchmarks.labels.datasets import SETS
from benchmarks.labels.embeddings import Embedded, thinned
from benchmarks.labels.logistic import Preparation, fitted
from benchmarks.labels.protocol import Integers, State, macro_f1, run, split
from benchmarks.labels.runs import Results, Task, library
from benchmarks.labels.statistics import (
    area,
    labels_saved,
    over_sets,
    paired,
    student_quantile,
)


def clusters(n: int = 260, classes: int = 3, seed: int = 0) -> Embedded:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    centres = rng.normal(size=(classes, 8))
    rows = (centres[labels] + rng.normal(size=(n, 8))).astype(np.float32)
    return Embedded("clusters", rows, labels, tuple(f"class {c}" for c in range(classes)), 60)


class Watching:
    """Takes the first unlabelled rows, and keeps what it saw."""

    def __init__(self, needs_labels: bool) -> None:
        self.needs_labels = needs_labels
        self.states: list[State] = []

    def select(self, state: State, size: int, seed: int) -> Integers:  # noqa: ARG002
        self.states.append(state)
        return state.unlabelled[:size]


def test_every_strategy_of_a_seed_has_the_same_split_and_another_seed_another() -> None:
    data = clusters()
    one, same, other = split(data, 3), split(data, 3), split(data, 4)
    assert_array_equal(one.pool, same.pool)
    assert_array_equal(one.initial, same.initial)
    assert not np.array_equal(one.pool, other.pool)
    assert sorted([*one.pool, *one.test]) == list(range(260))
    assert len(set(one.initial.tolist())) == 25
    assert one.initial.max() < len(one.pool)


def test_a_strategy_that_needs_a_model_starts_from_the_initial_set_of_the_seed() -> None:
    data = clusters()
    first, cold = Watching(needs_labels=True), Watching(needs_labels=False)
    run(data, first, 0, (10, 20))
    run(data, cold, 0, (10, 20))
    assert_array_equal(first.states[0].labelled, split(data, 0, 10).initial)
    assert first.states[0].probabilities is not None
    assert len(cold.states[0].labelled) == 0
    assert cold.states[0].probabilities is None
    assert len(cold.states) == 2


def test_a_strategy_sees_the_true_labels_of_what_it_labelled_and_no_others() -> None:
    data, watching = clusters(), Watching(needs_labels=True)
    run(data, watching, 1, (10, 20, 30))
    state, pool = watching.states[-1], split(data, 1).pool
    assert_array_equal(state.labels, data.labels[pool[state.labelled]])
    assert_array_equal(np.sort([*state.labelled, *state.unlabelled]), np.arange(len(pool)))


@pytest.mark.parametrize("wrong", [[0, 0], [0], [0, 10_000]])
def test_a_batch_that_breaks_the_rules_is_refused(wrong: list[int]) -> None:
    class Wrong(Watching):
        def select(self, *_: object) -> Integers:
            return np.array(wrong)

    with pytest.raises((ValueError, IndexError)):
        run(clusters(), Wrong(needs_labels=False), 0, (2, 4))


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_the_head_is_that_of_the_service_with_its_constant_penalty(classes: int) -> None:
    data = clusters(classes=classes)
    preparation = Preparation(data.embeddings)
    rows, labels = preparation(data.embeddings), data.labels
    # Below 50 labels the service's head keeps its default penalty; one class stays unseen.
    taken = np.flatnonzero(labels < max(2, classes - 1))[:40]
    own = fitted(rows[taken], labels[taken], classes)
    service = train_head(
        data.embeddings[taken], labels[taken], data.classes, previous=None, seed=0
    ).probabilities(data.embeddings)
    assert_allclose(own.probabilities(rows), service, atol=0.01)
    # A warm start only shortens the way.
    again = fitted(rows[taken], labels[taken], classes, fitted(rows[:30], labels[:30], classes))
    assert_allclose(again.probabilities(rows), own.probabilities(rows), atol=0.01)


def test_a_head_of_one_class_keeps_the_rule_of_succession() -> None:
    rows = Preparation(np.eye(4))(np.eye(4))
    head = fitted(rows, np.array([1, 1, 1, 1]), 3)
    assert_allclose(head.probabilities(rows), np.tile([1 / 7, 5 / 7, 1 / 7], (4, 1)), rtol=1e-5)


def test_macro_f1_counts_each_class_of_the_test_part_alike() -> None:
    # Class 0: 2 of 2 right with one false alarm, F1 4/5; class 1: 1 of 2, F1 2/3; class 2: 0.
    truth, predicted = np.array([0, 0, 1, 1, 2]), np.array([0, 0, 1, 0, 3])
    assert macro_f1(truth, predicted, 4) == pytest.approx((4 / 5 + 2 / 3 + 0) / 3)


def test_asknext_sees_what_the_service_would_give_it() -> None:
    data = clusters()
    margin, seen = AskNext("margin"), Watching(needs_labels=True)
    run(data, seen, 0, (20, 30))
    state = seen.states[0]
    assert state.probabilities is not None
    top = np.sort(state.probabilities[state.unlabelled], axis=1)
    expected = state.unlabelled[np.argsort(top[:, -1] - top[:, -2])[:10]]
    assert set(margin.select(state, 10, 0).tolist()) == set(expected.tolist())
    assert margin.needs_labels
    assert not AskNext("k_center").needs_labels
    assert not AskNext('{"chain": [{"k_center": {"keep": 3}}, "random"]}').needs_labels


def test_what_cannot_run_is_named_with_the_reason() -> None:
    assert refusal("margin") is None
    assert refusal("no_such_strategy") == "not registered"
    assert "members" in (refusal("bald") or "")
    assert "no_such" in (refusal('{"chain": [{"no_such": {"keep": 2}}, "margin"]}') or "")
    assert library("small-text:margin") == "small-text"
    assert library('{"chain": []}') == "asknext"


def test_long_tails_are_thinned_and_classes_renamed() -> None:
    names = np.repeat(["a", "b", "crude"], 100)
    tail = thinned(SETS["mnist_tail"], np.zeros((300, 2), np.float32), names)
    assert tail.classes == ("a", "b", "crude")
    assert np.bincount(tail.labels).tolist() == [100, 22, 12]
    binary = thinned(SETS["crude_or_other"], np.zeros((300, 2), np.float32), names)
    assert binary.classes == ("crude", "other")
    assert np.bincount(binary.labels).tolist() == [100, 200]


def test_areas_are_mean_heights_over_the_labels() -> None:
    curves = np.array([[0.5, 0.5, 0.5], [0.0, 1.0, 1.0]])
    # A second curve: half a height over the first 50 labels, a whole one over the next 100.
    assert_allclose(area(curves, (50, 100, 200)), [50.0, 100 * (25 + 100) / 150])


def test_labels_saved_are_those_random_needs_beyond_the_strategy() -> None:
    random = np.array([[0.5, 0.6, 0.8]])
    points = (50, 100, 200)
    # 0.8 is reached half way between 50 and 100 labels: 75 of 200.
    assert labels_saved(np.array([[0.7, 0.9, 0.9]]), random, points) == pytest.approx(1 - 75 / 200)
    assert labels_saved(np.array([[0.5, 0.6, 0.7]]), random, points) == 0
    assert labels_saved(np.array([[0.9, 0.6, 0.7]]), random, points) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (4, 2.776), (5, 2.571), (9, 2.262), (29, 2.045)]
)
def test_intervals_are_students(freedom: int, quantile: float) -> None:
    assert student_quantile(freedom) == pytest.approx(quantile, abs=0.004)


def test_a_difference_is_significant_where_its_interval_leaves_out_zero() -> None:
    clear, unclear = paired(np.array([1.0, 1.2, 0.8])), paired(np.array([1.0, -1.2, 0.8]))
    # Standard error 0.2 / sqrt(3), times 4.303.
    assert clear.high - clear.mean == pytest.approx(4.303 * 0.2 / 3**0.5)
    assert (clear.sign, unclear.sign) == (1, 0)
    assert paired(np.array([-2.0])).sign == 0


def test_the_mean_over_sets_pairs_only_seeds_that_all_sets_have() -> None:
    found = over_sets({"a": {0: 1.0, 1: 3.0, 2: 9.0}, "b": {0: 3.0, 1: 1.0}})
    assert found is not None
    assert (found.mean, found.pairs) == (2.0, 2)
    assert over_sets({"a": {0: 1.0}, "b": {1: 1.0}}) is None


def test_a_stopped_benchmark_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(["Sport", "Politics"], size=900)
    shift = np.where(labels == "Sport", 1.0, -1.0)[:, None]
    rows = (shift + rng.normal(size=(900, 6))).astype(np.float32)
    np.savez(tmp_path / "bbc_news.npz", embeddings=rows, labels=labels)
    options = ["--sets", "bbc_news", "--labels", "50", "--jobs", "1", "--width", "120"]
    options += ["--strategies", "margin,no_such", "--folder", str(tmp_path)]
    main([*options, "--seeds", "1"])
    first = capsys.readouterr().out
    assert "Left out: no_such (not registered)." in first
    assert "2 runs to make" in first
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write('{"set": "bbc_news", "strat')  # as if it had been killed here
    main([*options, "--seeds", "1"])
    assert "0 runs to make" in capsys.readouterr().out
    outcomes = Results(tmp_path / "runs.jsonl").outcomes()
    task = Task("bbc_news", "margin", 0, (25, 50))
    assert set(outcomes) == {task, Task("bbc_news", "random", 0, (25, 50))}
    assert len(outcomes[task]["macro_f1"]) == 2
    assert json.loads((tmp_path / "runs.jsonl").read_text().splitlines()[0])["seed"] == 0
