"""The two-sample test: its interval holds 0.5 where nothing differs, the truth where it does."""

from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest
from numpy.testing import assert_allclose

from backend.evaluation import two_sample as module
from backend.evaluation.two_sample import CrossFit, separation


def in_groups(rng, groups, size, width, name):
    """Items of one group share most of what they are."""
    owner = np.repeat(np.arange(groups), size)
    rows = rng.normal(size=(groups, width))[owner] + 0.5 * rng.normal(size=(len(owner), width))
    return rows, np.array([f"{name}{g}" for g in owner])


@pytest.mark.parametrize(("width", "old", "late"), [(1, 300, 60), (4, 200, 100), (40, 150, 150)])
def test_without_a_difference_the_interval_holds_one_half(width, old, late) -> None:
    rng = np.random.default_rng(width)
    runs = 100
    held = 0
    for run in range(runs):
        found = separation(rng.normal(size=(old, width)), rng.normal(size=(late, width)), seed=run)
        held += found.low <= 0.5 <= found.high
    assert held / runs >= 0.93 - 2.4 * (0.95 * 0.05 / runs) ** 0.5  # sampling error of the runs


def test_without_a_difference_items_in_groups_hold_it_too() -> None:
    rng = np.random.default_rng(9)
    runs, held = 100, 0
    for run in range(runs):
        first, first_groups = in_groups(rng, 60, 5, 8, "a")
        second, second_groups = in_groups(rng, 30, 5, 8, "b")
        found = separation(first, second, first_groups, second_groups, seed=run)
        held += found.low <= 0.5 <= found.high
    assert held / runs >= 0.93 - 2.4 * (0.95 * 0.05 / runs) ** 0.5  # sampling error of the runs


@pytest.mark.parametrize("apart", [0.5, 1.0, 2.0])
def test_a_difference_of_means_has_the_area_that_theory_says(apart: float) -> None:
    """Phi(d / sqrt 2), which a discriminant from many rows comes close to."""
    rng = np.random.default_rng(0)
    truth = NormalDist().cdf(apart / sqrt(2))
    held = 0
    for run in range(20):
        first, second = rng.normal(size=(1_500, 5)), rng.normal(size=(800, 5))
        second[:, 2] += apart
        found = separation(first, second, seed=run)
        held += found.low <= truth <= found.high
        assert found.auc == pytest.approx(truth, abs=0.06)
    assert held >= 17


def test_the_scale_and_the_correlation_of_columns_do_not_matter() -> None:
    """The one column that differs is hidden behind one a thousand times as large."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 600, 2))
    second[:, 0] += 1.5
    mixing = np.array([[1.0, 1.0], [0.0, 3.0]])
    assert separation(first @ mixing, second @ mixing).auc > 0.8


def test_every_row_is_scored_by_a_discriminant_without_its_group() -> None:
    """The obvious loop: for each fold, means and covariance of the other folds."""
    rng = np.random.default_rng(2)
    rows, groups = in_groups(rng, 40, 3, 6, "g")
    is_second = np.repeat(np.arange(40) % 3 == 0, 3)
    rows[is_second] += 0.4
    codes = np.unique(groups, return_inverse=True)[1]
    fit = CrossFit(rows, is_second, codes, np.random.default_rng(0))
    scores = fit.scores(is_second)
    for group in range(40):
        assert len(set(fit.folds[codes == group])) == 1
    for fold in range(5):
        inside = fit.folds == fold
        one, two = rows[~inside & ~is_second], rows[~inside & is_second]
        scatter = sum((x - x.mean(0)).T @ (x - x.mean(0)) for x in (one, two))
        weights = np.linalg.solve(
            module._shrunk(scatter[None], np.array([len(one) + len(two) - 2.0]))[0],
            two.mean(0) - one.mean(0),
        )
        middle = (one.mean(0) + two.mean(0)) / 2
        assert_allclose(scores[inside], (rows[inside] - middle) @ weights, atol=1e-9)
        assert 0 < is_second[inside].mean() < 1


def test_the_area_counts_pairs() -> None:
    rng = np.random.default_rng(3)
    scores, is_second = rng.integers(0, 6, 50).astype(float), rng.random(50) < 0.4
    area, contributions = module._area(scores, is_second)
    pairs = [(x > y) + (x == y) / 2 for x in scores[is_second] for y in scores[~is_second]]
    assert area == pytest.approx(np.mean(pairs))
    assert contributions.sum() == pytest.approx(0, abs=1e-12)


def test_sets_that_never_overlap_are_told_apart_with_an_interval_that_is_no_point() -> None:
    rng = np.random.default_rng(4)
    found = separation(rng.normal(size=(60, 3)), rng.normal(size=(40, 3)) + 50)
    assert (found.auc, found.high) == (1.0, 1.0)
    assert 0.8 < found.low < 1.0


def test_dealing_the_sets_anew_gives_the_areas_of_those_sets() -> None:
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(60, 3))
    is_second = np.arange(60) % 3 == 0
    fit = CrossFit(rows, is_second, np.arange(60), rng)
    ways = np.array([rng.permutation(is_second) for _ in range(6)])
    assert_allclose(fit._mean_areas(ways), [fit.area(way)[0] for way in ways], atol=1e-12)


def test_too_few_rows_or_groups_say_nothing() -> None:
    rng = np.random.default_rng(5)
    many = rng.normal(size=(200, 3))
    assert separation(many, many[:29]) is None
    assert separation(many[:0], many) is None
    few_groups = np.arange(200) % 9
    assert separation(many, many, np.arange(200), few_groups + 1_000) is None


def test_constant_and_identical_columns_are_no_error() -> None:
    same = separation(np.ones((50, 4)), np.ones((40, 4)))
    assert same.auc == 0.5
    assert same.low < 0.5 < same.high


def test_large_sets_are_thinned_by_whole_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_ROWS", 100)
    rng = np.random.default_rng(6)
    first, groups = in_groups(rng, 100, 4, 3, "a")
    found = separation(first, rng.normal(size=(50, 3)), groups, np.arange(50).astype(str))
    assert found.first == 100
    assert found.second == 50
