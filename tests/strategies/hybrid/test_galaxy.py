"""GALAXY: bisection of each class's line."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import Pool, select
from strategies.hybrid import galaxy as module
from strategies.hybrid.galaxy import _bisection, galaxy
from strategies.picks import CLASS


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def line(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Items in one dimension whose odds of class 1 are e^z."""
    positive = 1.0 / (1.0 + np.exp(-logits))
    return logits[:, np.newaxis], np.stack([1.0 - positive, positive], axis=1)


def plain_bisection(places: list[int], positive: list[bool], length: int) -> set[int]:
    """All places that rules 1 and 2 allow, by walking over the whole line."""
    status = dict(zip(places, positive, strict=True))
    marked = sorted(status)
    opposite = [(a, b) for a, b in itertools.pairwise(marked) if status[a] != status[b]]
    runs = [(a, b) for a, b in opposite if b - a > 1]
    if runs:
        shortest = min(b - a for a, b in runs)
        return {a + 1 + (b - a - 1) // 2 for a, b in runs if b - a == shortest}
    distances = {
        place: min(place - a if place > a else b - place for a, b in opposite)
        for place in range(length)
        if place not in status and opposite
    }
    return {p for p, d in distances.items() if d == min(distances.values())}


@given(st.data())
def test_the_place_is_one_that_the_rules_allow(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 14))
    places = data.draw(st.lists(st.integers(0, length - 1), unique=True, max_size=length))
    positive = data.draw(st.lists(st.booleans(), min_size=len(places), max_size=len(places)))
    found = _bisection(np.array(places, dtype=np.int64), np.array(positive, dtype=bool), length)
    allowed = plain_bisection(places, positive, length)
    assert (found in allowed) if allowed else found is None


def test_bisects_between_the_labelled_of_two_classes() -> None:
    # The labelled 0 is class 0 and the labelled 16 class 1; the model thinks that 4 is the border.
    logits = np.arange(1.0, 16.0) - 4.5
    embeddings, probabilities = line(logits)
    picks = galaxy(
        embeddings,
        probabilities,
        np.arange(15),
        5,
        seeded(),
        np.array([[-4.5], [11.5]]),
        np.array([0, 1]),
    )
    # Halves of 1..15, 1..7, 5..7 and 5, given that 4 is taken for class 0 and the others for 1;
    # then 3, two places from the cut between 4 and 5, where 7 is three.
    assert (picks.indices + 1).tolist() == [8, 4, 6, 5, 3]
    assert set(picks.details[CLASS]) <= {0, 1}


def test_true_labels_outweigh_the_predictions() -> None:
    # The model puts the border at 0, the labels put it between 5 and 7.
    logits = np.linspace(-8.0, 8.0, 33)
    embeddings, probabilities = line(logits)
    pool = Pool(
        embeddings=embeddings,
        probabilities=probabilities,
        labelled_embeddings=np.array([[-8.1], [5.1], [7.1]]),
        labels=np.array([0, 0, 1]),
    )
    pick = select("galaxy", pool, 1, seeded())[0]
    assert 5.1 < logits[pick] < 7.1


@pytest.mark.parametrize("labelled", [{}, {"labels": np.array([1]), "known": np.array([[2.0]])}])
def test_without_two_classes_the_first_pick_is_random(labelled: dict[str, np.ndarray]) -> None:
    embeddings, probabilities = line(np.linspace(-3.0, 3.0, 40))
    first = Counter(
        int(
            galaxy(
                embeddings,
                probabilities,
                np.arange(40),
                1,
                seeded(seed),
                labelled.get("known"),
                labelled.get("labels"),
            ).indices[0]
        )
        for seed in range(100)
    )
    assert len(first) > 25


def test_a_batch_over_a_rare_class_is_more_balanced_than_the_pool() -> None:
    rng = seeded(1)
    rare = rng.random(3000) < 0.02
    # The log odds of two normal distributions at -2 and 2 with 2% of one.
    seen = np.where(rare, 2.0, -2.0) + rng.normal(size=3000)
    embeddings, probabilities = line(4.0 * seen + np.log(0.02 / 0.98))
    pool = Pool(
        embeddings=embeddings,
        probabilities=probabilities,
        labelled_embeddings=np.array([[-9.0], [9.0]]),
        labels=np.array([0, 1]),
    )
    picks = select("galaxy", pool, 60, seeded())
    assert rare[picks].mean() > 5 * rare.mean()


def test_lines_that_are_not_kept_give_the_same_picks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = seeded(2)
    fields = {
        "embeddings": rng.normal(size=(80, 4)),
        "probabilities": rng.dirichlet(np.ones(5), size=80),
        "labelled_embeddings": rng.normal(size=(9, 4)),
        "labels": rng.integers(5, size=9),
    }
    kept = select("galaxy", Pool(**fields), 30, seeded())
    monkeypatch.setattr(module, "KEPT_POSITIONS", 0)
    assert kept.tolist() == select("galaxy", Pool(**fields), 30, seeded()).tolist()
