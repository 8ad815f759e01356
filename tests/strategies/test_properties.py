"""The mathematics of the uncertainty scores, over generated predictions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, score
from strategies.ranking import best_first, normalised_ranks


@st.composite
def predictions(draw: st.DrawFn, classes: int | None = None) -> np.ndarray:
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=8))
    if classes is not None:
        shape = (shape[0], classes)
    weights = draw(arrays(np.float64, shape, elements=st.floats(0.0, 1.0).map(lambda x: x**3)))
    weights[:, 0] += 1e-6
    return weights / weights.sum(axis=1, keepdims=True)


@given(predictions())
def test_entropy_is_the_sum_over_classes_and_highest_where_uniform(p: np.ndarray) -> None:
    classes = p.shape[1]
    scores = score("entropy", Pool(probabilities=p))
    expected = [-sum(x * np.log(x) for x in row if x > 0) for row in p]
    assert_allclose(scores, expected, atol=1e-12)
    uniform = score("entropy", Pool(probabilities=np.full((1, classes), 1.0 / classes)))[0]
    assert_allclose(uniform, np.log(classes), atol=1e-12)
    assert (scores <= uniform + 1e-12).all()
    assert (scores >= 0.0).all()


@given(predictions())
def test_margin_and_least_confidence_are_those_of_the_sorted_prediction(p: np.ndarray) -> None:
    ordered = np.sort(p, axis=1)[:, ::-1]
    pool = Pool(probabilities=p)
    assert_allclose(score("least_confidence", pool), 1 - ordered[:, 0], atol=1e-12)
    if p.shape[1] > 1:
        assert_allclose(score("margin", pool), 1 - ordered[:, 0] + ordered[:, 1], atol=1e-12)


@given(predictions(classes=2))
def test_margin_and_least_confidence_agree_for_two_classes(p: np.ndarray) -> None:
    pool = Pool(probabilities=p)
    assert_allclose(score("margin", pool), 2 * score("least_confidence", pool), atol=1e-12)


@given(predictions(), st.randoms(use_true_random=False))
def test_the_order_of_the_classes_does_not_matter(p: np.ndarray, random) -> None:  # type: ignore[no-untyped-def]
    order = list(range(p.shape[1]))
    random.shuffle(order)
    for name in ("entropy", "margin", "least_confidence"):
        moved = score(name, Pool(probabilities=p[:, order]))
        assert_allclose(moved, score(name, Pool(probabilities=p)), atol=1e-12)


whole_scores = arrays(np.float64, st.integers(0, 20), elements=st.integers(-3, 3).map(float))


@given(whole_scores, st.integers(0, 25), st.integers(0, 5))
def test_best_first_holds_the_highest_scores_in_descending_order(
    scores: np.ndarray, size: int, seed: int
) -> None:
    eligible = np.flatnonzero(np.arange(len(scores)) % 4 != 1)
    for rng in (None, np.random.default_rng(seed)):
        picks = best_first(scores, eligible, size, rng)
        expected = np.sort(scores[eligible])[::-1][:size]
        assert_array_equal(scores[picks], expected)
        assert set(picks) <= set(eligible)
        assert len(set(picks)) == len(expected)
    stable = best_first(scores, eligible, size, None)
    assert stable.tolist() == sorted(eligible, key=lambda i: (-scores[i], i))[:size]


def test_equal_scores_are_ordered_by_chance_when_there_is_a_generator() -> None:
    eligible = np.arange(5)
    rng = np.random.default_rng(0)
    first = [int(best_first(np.zeros(5), eligible, 1, rng)[0]) for _ in range(1000)]
    # 1,000 draws of probability 1/5: standard deviation 12.6; five of them either side.
    assert (np.abs(np.bincount(first, minlength=5) - 200) < 64).all()


@given(whole_scores)
def test_normalised_ranks_keep_the_order_and_share_ties(scores: np.ndarray) -> None:
    n = len(scores)
    ranks = normalised_ranks(scores, np.arange(n))
    for i in range(n):
        below = (scores < scores[i]).sum()
        equal = (scores == scores[i]).sum() - 1
        expected = (below + equal / 2) / (n - 1) if n > 1 else 0.5
        assert_allclose(ranks[i], expected)
