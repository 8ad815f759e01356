"""One case a strategy that can be worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from strategies import Pool, names, score, select
from strategies.registry import REGISTRY

PREDICTIONS = np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [1.0, 0.0, 0.0], [0.6, 0.3, 0.1]])
# Two members, four items, two classes.
TWO_MEMBERS = np.array(
    [
        [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.5, 0.5]],
        [[0.5, 0.5], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]],
    ]
)
# Four members, four items, each sure of its vote.
FOUR_MEMBERS = np.eye(2)[np.array([[0, 0, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]])]
VOTES = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 2]])  # item, member
THREE_AND_ONE = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.1, 0.9]])
LINE = np.array([[0.0], [1.0], [4.0], [10.0], [11.0]])
# By angle: five in a fan, three far away from them and from each other; lengths differ.
FAN = np.radians([0.0, 10.0, 20.0, 30.0, 40.0, 150.0, 200.0, 250.0])
DIRECTIONS = np.column_stack([np.cos(FAN), np.sin(FAN)]) * np.arange(1.0, 9.0)[:, None]
THREE_DIRECTIONS = np.array([[1.0, 0.0], [0.5**0.5, 0.5**0.5], [0.5, 0.75**0.5]])

# name, fields of the pool, size, the picks in order
KNOWN: list[tuple[str, dict[str, Any], int, list[int]]] = [
    # Entropies: log 2 = 0.693; 1.089; 0; 0.898.
    ("entropy", {"probabilities": PREDICTIONS}, 4, [1, 3, 0, 2]),
    # Gaps: 0; 0.1; 1; 0.3.
    ("margin", {"probabilities": PREDICTIONS}, 4, [0, 1, 3, 2]),
    # Highest: 0.5; 0.4; 1; 0.6.
    ("least_confidence", {"probabilities": PREDICTIONS}, 4, [1, 0, 3, 2]),
    # The share off the mode, as least_confidence.
    ("variation_ratio", {"probabilities": PREDICTIONS}, 4, [1, 0, 3, 2]),
    # Means (3/4, 1/4), (1/2, 1/2), (1, 0), (1/2, 1/2): entropies 0.562, 0.693, 0, 0.693.
    ("predictive_entropy", {"members": TWO_MEMBERS}, 4, [1, 3, 0, 2]),
    # Less the members' own: (0 + 0.693)/2, 0, 0, 0.693: leaves 0.216, 0.693, 0, 0.
    ("bald", {"members": TWO_MEMBERS}, 4, [1, 0, 2, 3]),
    # 1/4, 1/2, 0, 0 for either class.
    ("mean_standard_deviation", {"members": TWO_MEMBERS}, 4, [1, 0, 2, 3]),
    # Votes 0 0 0, 0 0 1 and 0 1 2: off the mode are 0, 1/3 and 2/3.
    ("members_variation_ratio", {"members": np.eye(3)[VOTES.T]}, 3, [2, 1, 0]),
    # (0.2^2 + 0.2^2)/2 = 0.04; nothing moved; (1 + 1)/2 = 1.
    (
        "temporal_output_discrepancy",
        {
            "probabilities": np.array([[0.8, 0.2], [0.5, 0.5], [1.0, 0.0]]),
            "previous_probabilities": np.array([[0.6, 0.4], [0.5, 0.5], [0.0, 1.0]]),
        },
        3,
        [2, 0, 1],
    ),
    ("predicted_loss", {"predicted_loss": np.array([0.5, -1.0, 2.0])}, 3, [2, 0, 1]),
    # Gradients of length 0.71, 0.71 and 0.35 along one line: the longest, then the one that is
    # apart from it, then its double, which is not.
    (
        "badge",
        {
            "probabilities": np.array([[0.5, 0.5], [0.5, 0.5], [0.75, 0.25]]),
            "embeddings": np.zeros((3, 1)),
        },
        3,
        [0, 2, 1],
    ),
    # Only the middle one is uncertain, so only it has a weight.
    ("falcun", {"probabilities": np.array([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]])}, 1, [1]),
    # Logits z and -z: the boundary, 0, is 0.1, 2 and 3 away. A fifth of the way to the farthest
    # labelled item is 0.82, 1.2 and 1.4: only the first crosses it.
    (
        "alfa_mix",
        {
            "embeddings": np.array([[0.1], [2.0], [-3.0]]),
            "probabilities": 1.0 / (1.0 + np.exp([[-0.2, 0.2], [-4.0, 4.0], [6.0, -6.0]])),
            "labelled_embeddings": np.array([[4.0], [-4.0]]),
            "labels": np.array([0, 1]),
        },
        1,
        [0],
    ),
    # Logits 1 + z and 0: the predictions at 1 and 2 hold without z, that at -3 does not.
    (
        "dropquery",
        {
            "embeddings": np.array([[1.0], [2.0], [-3.0]]),
            "probabilities": 1.0 / (1.0 + np.exp([[-2.0, 2.0], [-3.0, 3.0], [2.0, -2.0]])),
        },
        1,
        [2],
    ),
    # The only item on which the members disagree is drawn first, whatever the noise.
    ("power_bald", {"members": TWO_MEMBERS[:, 1:]}, 1, [0]),
    # Votes 0011, 0011, 0101, 0001. After item 0 its copy adds nothing, item 2 log 2 and item 3
    # half of that; then the members are told apart, and the next joint begins with the copy.
    ("batch_bald", {"members": FOUR_MEMBERS}, 4, [0, 2, 1, 3]),
    # Votes 0101, 0011, 0001, the targets too. Of 0 and 1 each tells log 2 = 0.693 about itself,
    # 0 about the other and 0.216 about 2; of 2, 0.216 about either and 0.562 about itself: 0.994,
    # more than 0.909, though 2 has the lowest BALD.
    ("epig", {"members": FOUR_MEMBERS[:, [2, 0, 3]]}, 1, [2]),
    # p(1 - p) z^2 is 0, 1 and 1/4, and in one dimension the largest lowers f / (1 + sum) most.
    (
        "bait",
        {
            "embeddings": np.array([[3.0], [2.0], [1.0]]),
            "probabilities": np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]),
        },
        3,
        [1, 2, 0],
    ),
    # The head is p(1|z) = 1/(1 + e^-z), so the labelled item at 0 is predicted (1/2, 1/2):
    # divergences from it to (1/2, 1/2), (1/4, 3/4) and (1/10, 9/10) are 0, 0.144 and 0.511.
    (
        "cal",
        {
            "embeddings": np.log([[1.0], [3.0], [9.0]]),
            "probabilities": np.array([[0.5, 0.5], [0.25, 0.75], [0.1, 0.9]]),
            "labelled_embeddings": np.array([[0.0]]),
        },
        3,
        [2, 1, 0],
    ),
    # On either class's line all three stand between the labelled 1/27 and 27 (odds of class 1):
    # the middle first, taken to be class 1; then 1/3 below it; then 9, next to the cut.
    (
        "galaxy",
        {
            "embeddings": np.log([[1 / 3], [2.0], [9.0]]),
            "probabilities": np.array([[3 / 4, 1 / 4], [1 / 3, 2 / 3], [1 / 10, 9 / 10]]),
            "labelled_embeddings": np.log([[1 / 27], [27.0]]),
            "labels": np.array([0, 1]),
        },
        3,
        [1, 0, 2],
    ),
    # The mean is 5.2, so 4 comes first; then 11 (at 7), 0 (at 4), and 1 and 10 (both at 1).
    ("k_center", {"embeddings": LINE}, 5, [2, 4, 0, 1, 3]),
    # From the labelled 0: 11 (at 11), 4 (at 4), and 1 and 10 (both at 1), 0 (at 0).
    ("k_center", {"embeddings": LINE, "labelled_embeddings": LINE[:1]}, 5, [4, 2, 1, 3, 0]),
    # Predicted 0 (a tie), 0, 0 and 0: by margin alone.
    ("class_quota", {"probabilities": PREDICTIONS}, 4, [0, 1, 3, 2]),
    # A seat each for classes 0 and 1 first; in class 0 the gaps are 0.8, 0.2 and 0.6.
    ("class_quota", {"probabilities": THREE_AND_ONE}, 4, [1, 3, 2, 0]),
    # Class 1 has one label and class 0 three: class 1 first, then class 0 by its gaps.
    (
        "tail_first",
        {"probabilities": THREE_AND_ONE, "labels": np.array([0, 0, 0, 1])},
        4,
        [3, 1, 2, 0],
    ),
    # Labels 1 and 0 of two classes; the pool's mean is (0.6, 0.4). Together with the label, item 3
    # gives (0.6, 0.4) itself; then (2.1, 0.9)/3 is nearest, and (2.9, 1.1)/4 is nearer than 3/4.
    (
        "label_distribution_matching",
        {"probabilities": THREE_AND_ONE, "labels": np.array([0])},
        2,
        [3, 1],
    ),
    # Two north and one south labelled, of the pool three north and one south: the south comes
    # first, and only one item is north and west.
    (
        "metadata_balance",
        {
            "metadata": {"site": np.array(["south", "north"])},
            "labelled_metadata": {"site": np.array(["north", "south", "north"])},
        },
        2,
        [0, 1],
    ),
    # Median 3, quartiles 2 and 4: |x - 3| / 2 is 1, 0.5, 0, 0.5 and 48.5.
    (
        "rare_properties",
        {"metadata": {"image:size": np.array([1.0, 2.0, 3.0, 4.0, 100.0])}},
        5,
        [4, 0, 1, 3, 2],
    ),
    # Quantiles 0.1, 0.3, 0.5, 0.7 and 0.9: the middle first. Then 2 (u^2 - u + 1/2) - |u - 1/2| is
    # 0.42, 0.38, 0.5, 0.38, 0.42: the lower of two; then 3 (...) - |u - 1/2| - |u - 0.3| at 0.1,
    # 0.7 and 0.9 is 0.63, 0.27 and 0.23.
    (
        "spread_properties",
        {"metadata": {"image:size": np.array([5.0, 2.0, 9.0, 4.0, 1.0])}},
        3,
        [3, 1, 2],
    ),
    # Means 5/3 of {0, 1, 4} and 10.5 of {10, 11}: 1 is nearest to the one, 10 and 11 to the other.
    ("k_means", {"embeddings": LINE}, 2, [1, 3]),
    # One cluster; of 8 items the 4 nearest count: for 20 degrees these are 10, 10, 20 and 20 off.
    ("typiclust", {"embeddings": DIRECTIONS}, 1, [2]),
    # Three are nearly sure of class 0, their mean is (0.9, 0.1); one is sure of class 1.
    (
        "cluster_predictions",
        {"probabilities": np.array([[1.0, 0.0], [0.9, 0.1], [0.8, 0.2], [0.0, 1.0]])},
        2,
        [1, 3],
    ),
    # As k_means, but of {0, 1, 4} only 4 is uncertain and of {10, 11} only 10, and that less so.
    (
        "clue",
        {
            "embeddings": LINE,
            "probabilities": np.array([[1, 0], [1, 0], [0.5, 0.5], [0.9, 0.1], [1, 0]]),
        },
        2,
        [2, 3],
    ),
    # 20 times the size: all are candidates. The fan's middle, and the other three's.
    (
        "margin_k_means",
        {"embeddings": DIRECTIONS, "probabilities": np.full((8, 2), 0.5)},
        2,
        [2, 6],
    ),
    # A cluster's candidates are drawn at random: only here is there one way.
    ("cluster_margin", {"embeddings": LINE[:1], "probabilities": PREDICTIONS[:1]}, 1, [0]),
    # Minus the mean of 5.2, only the sides are left: of three alike the first, of two alike the
    # first; then nothing gains.
    ("max_herding", {"embeddings": LINE}, 5, [0, 3, 1, 2, 4]),
    ("max_herding", {"embeddings": LINE, "labelled_embeddings": LINE[:1]}, 5, [3, 0, 1, 2, 4]),
    # The same sides; the three are sure (u = 0.1 each), the two are not (u = 1 each).
    (
        "uherding",
        {"embeddings": LINE, "probabilities": np.array([[0.95, 0.05]] * 3 + [[0.5, 0.5]] * 2)},
        5,
        [3, 0, 1, 2, 4],
    ),
    # Without a model as max_herding; with one as uherding, here of classes that are equally common.
    ("auto", {"embeddings": LINE}, 5, [0, 3, 1, 2, 4]),
    (
        "auto",
        {"embeddings": LINE, "probabilities": np.array([[0.95, 0.05]] * 3 + [[0.5, 0.5]] * 2)},
        5,
        [3, 0, 1, 2, 4],
    ),
    # Directions of 0, 45 and 60 degrees: sums of cosines 2.207, 2.673 and 2.466; then 0 degrees
    # lacks 0.293 and 60 degrees 0.034.
    ("facility_location", {"embeddings": THREE_DIRECTIONS}, 3, [1, 0, 2]),
    # Pseudo-labels east, east, north: balls are pure up to a radius of sqrt(2), which the others'
    # distance is not below. East holds two items, north one; then all are covered.
    ("probcover", {"embeddings": np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])}, 3, [0, 2, 1]),
    # Entropies 0.693, 0 and 0.673 times mean cosines 0.736, 0.891 and 0.822.
    (
        "density_weighted",
        {
            "embeddings": THREE_DIRECTIONS,
            "probabilities": np.array([[0.5, 0.5], [1.0, 0.0], [0.6, 0.4]]),
        },
        3,
        [2, 0, 1],
    ),
    # Three sure of the first class, two of the second, one of the third: the largest crowd first.
    (
        "cover_predictions",
        {"probabilities": np.eye(3)[[2, 0, 0, 1, 0, 1]]},
        6,
        [1, 3, 0, 2, 4, 5],
    ),
    # Only one way to choose one item of one.
    ("random", {"size": 1}, 1, [0]),
    # One item of each of two sites can only be drawn from the one that may be picked.
    ("stratified", {"size": 2, "excluded": np.array([True, False])}, 1, [1]),
    ("random_groups", {"groups": np.array([5]), "size": 1}, 1, [0]),
]


@pytest.mark.parametrize(("name", "fields", "size", "picks"), KNOWN)
def test_picks_as_worked_out_by_hand(
    name: str, fields: dict[str, Any], size: int, picks: list[int]
) -> None:
    rng = np.random.default_rng(0) if REGISTRY[name].random else None
    assert select(name, Pool(**fields), size, rng).tolist() == picks


def test_every_strategy_has_a_case() -> None:
    assert {name for name, *_ in KNOWN} == set(names())


def test_scores_as_worked_out_by_hand() -> None:
    pool = Pool(probabilities=np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]))
    assert_allclose(score("entropy", pool), [1.5 * math.log(2), 0.0])
    assert_allclose(score("margin", pool), [0.75, 0.0])
    assert_allclose(score("least_confidence", pool), [0.5, 0.0])


def test_cosine_k_center_looks_at_directions_only() -> None:
    # From the labelled east: the opposite direction, however short, before any long one nearby.
    embeddings = np.array([[100.0, 1.0], [0.0, 50.0], [-0.01, 0.0]])
    pool = Pool(embeddings=embeddings, labelled_embeddings=np.array([[1.0, 0.0]]))
    assert select("k_center", pool, 3, metric="cosine").tolist() == [2, 1, 0]
    assert select("k_center", pool, 3, metric="euclidean").tolist() == [0, 1, 2]


def test_random_gives_every_item_the_same_chance() -> None:
    rng = np.random.default_rng(0)
    excluded = np.arange(6) == 2
    pool = Pool(size=6, excluded=excluded)
    counts = np.zeros((2, 6))
    for _ in range(5000):
        for place, pick in enumerate(select("random", pool, 2, rng)):
            counts[place, pick] += 1
    assert (counts[:, 2] == 0).all()
    # 5,000 draws of probability 1/5: standard deviation 28.3; five of them either side.
    assert (np.abs(counts[:, ~excluded] - 1000) < 142).all()
