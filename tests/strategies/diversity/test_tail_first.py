"""The classes with the fewest labels first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from strategies import Pool, parse, score, select


def test_the_tail_is_filled_up_to_the_next_class_and_then_both_together() -> None:
    predicted = np.repeat([0, 1, 2], 20)
    probabilities = np.eye(3)[predicted] * 0.7 + 0.1
    labels = np.repeat([0, 1, 2], [10, 4, 1])
    found = select("tail_first", Pool(probabilities=probabilities, labels=labels), 20)
    assert predicted[found[:3]].tolist() == [2, 2, 2]
    # After 3 + 12 picks all have ten; the other five go round, the lowest class first.
    assert np.bincount(predicted[found]).tolist() == [2, 8, 10]


def test_the_score_is_the_class_first_and_the_margin_within_it() -> None:
    probabilities = np.array([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.3, 0.7, 0.0]])
    pool = Pool(probabilities=probabilities, labels=np.array([0, 0, 1]))
    assert_allclose(
        score("tail_first", pool), [-2 + 0.999 * 0.8, -1 + 0.999 * 0.2, -1 + 0.999 * 0.6]
    )
    confident = score("tail_first", pool, prefer="confident")
    assert_allclose(confident, [-2 + 0.999 * 0.2, -1 + 0.999 * 0.8, -1 + 0.999 * 0.4])


@given(st.integers(2, 5), st.integers(1, 25), st.integers(0, 12), st.integers(0, 99))
def test_each_pick_is_of_a_class_with_the_fewest_labels_and_picks(
    classes: int, n: int, labelled: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.5), size=n)
    labels = rng.integers(classes, size=labelled)
    found = parse("tail_first").select_with_branches(
        Pool(probabilities=probabilities, labels=labels), n
    )
    counts = np.bincount(labels, minlength=classes)
    predicted = probabilities.argmax(axis=1)
    left = np.bincount(predicted, minlength=classes)
    for index in found.indices:
        label = predicted[index]
        assert counts[label] == counts[left > 0].min()
        counts[label] += 1
        left[label] -= 1
    assert {detail["class"]: detail["quota"] for detail in found.details} == {
        int(label): int((predicted == label).sum()) for label in set(predicted)
    }
