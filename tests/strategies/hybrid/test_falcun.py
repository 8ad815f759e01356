"""FALCUN: the distribution of its formula, although most distances are not brought up to date."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, score, select
from strategies.hybrid import falcun as module
from strategies.hybrid.falcun import falcun
from strategies.kernels.median_blocks import median_blocks


def chances(p: np.ndarray, picked: list[int], gamma: float) -> np.ndarray:
    """The probability of each item to be the next pick, by the definition, in float64."""
    ordered = np.sort(p, axis=1)
    uncertainty = 1.0 - (ordered[:, -1] - ordered[:, -2])
    distance = uncertainty.copy()
    for pick in picked:
        distance = np.minimum(distance, np.abs(p - p[pick]).sum(axis=1))
    left = np.setdiff1d(np.arange(len(p)), picked)
    found = np.zeros(len(p))
    least, highest = distance[left].min(), distance[left].max()
    if highest == 0.0:
        found[left] = 1.0
    else:
        scaled = (distance[left] - least) / (highest - least) if highest > least else 0.0
        found[left] = (uncertainty[left] + scaled) ** gamma
    return found / found.sum()


def predictions(seed: int, n: int, c: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(c, 0.7), size=n).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("gamma", [1.0, 2.5, 10.0])
def test_each_sequence_comes_as_often_as_the_definition_says(gamma: float) -> None:
    p = predictions(1, 5)
    draws, size = 1500, 3
    counts: dict[tuple[int, ...], int] = {}
    rng = np.random.default_rng(0)
    for _ in range(draws):
        sequence = tuple(falcun(p, np.arange(5), size, rng, gamma=gamma).indices.tolist())
        counts[sequence] = counts.get(sequence, 0) + 1
    common_mean = common_count = statistic = 0.0
    cells = 0
    for sequence in itertools.permutations(range(5), size):
        probability = 1.0
        for t in range(size):
            probability *= chances(p, list(sequence[:t]), gamma)[sequence[t]]
        if (mean := probability * draws) >= 5.0:
            statistic += (counts.get(sequence, 0) - mean) ** 2 / mean
            common_mean += mean
            common_count += counts.get(sequence, 0)
            cells += 1
    rest = draws - common_mean
    if rest >= 5.0:
        statistic += (draws - common_count - rest) ** 2 / rest
    # Mean `cells`, deviation sqrt(2 cells), approximately.
    assert abs(statistic - cells) < 4.0 * np.sqrt(2.0 * cells)


def test_late_picks_are_distributed_as_those_of_the_plain_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BLOCK_ITEMS", 4)
    monkeypatch.setattr(module, "BLOCKS_A_PICK", 1)
    p = predictions(2, 40)
    draws, size = 400, 10
    counts = np.zeros((2, 40))
    rng = np.random.default_rng(1)
    for _ in range(draws):
        counts[0, falcun(p, np.arange(40), size, rng).indices] += 1
        picked: list[int] = []
        while len(picked) < size:
            picked.append(int(rng.choice(40, p=chances(p, picked, 10.0))))
        counts[1, picked] += 1
    shares = counts.sum(axis=0) / (2 * draws)
    deviation = np.sqrt(2.0 * shares * (1.0 - shares) / draws)
    # 40 comparisons: four standard deviations each.
    assert (np.abs(counts[0] - counts[1]) / draws <= 4.0 * deviation + 1e-12).all()


@given(
    seed=st.integers(0, 300),
    n=st.integers(2, 60),
    c=st.integers(2, 5),
    copies=st.integers(1, 3),
    items=st.sampled_from([3, 8]),
)
@settings(max_examples=40, deadline=None)
def test_what_it_knows_of_the_distances_holds_at_every_pick(
    seed: int, n: int, c: int, copies: int, items: int
) -> None:
    p = np.repeat(predictions(seed, n, c), copies, axis=0)
    ordered = np.sort(p, axis=1)
    distance = 1.0 - (ordered[:, -1] - ordered[:, -2])
    left = np.ones(len(p), dtype=bool)
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ITEMS", items)
        patch.setattr(module, "BLOCKS_A_PICK", 2)
        pool = module._Blocks(p, np.arange(len(p)), len(p), 10.0)
        for _ in range(len(p)):
            assert_allclose(pool.highest, distance[left].max(), atol=1e-5)
            assert pool.least - 1e-5 <= distance[left].min() <= pool.least_known + 1e-5
            held = pool.distance >= 0.0
            assert_array_equal(np.sort(pool.items[held]), np.flatnonzero(left))
            assert (pool.distance[held] >= distance[pool.items[held]] - 1e-5).all()
            place = pool.drawn(rng)
            pick = int(pool.items[place])
            assert_allclose(pool.distance[place], distance[pick], atol=1e-5)
            left[pick] = False
            distance = np.minimum(distance, np.abs(p - p[pick]).sum(axis=1))
            if left.any():
                pool.pick(place)


def test_the_least_distance_is_found_where_it_may_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ITEMS", 1)
    monkeypatch.setattr(module, "BLOCKS_A_PICK", 1)
    # On a line, |p - q|_1 = 2 |p_0 - q_0|. The first pick, 0.5, looks no farther than the least
    # D, 0.04, of the item that is the second pick. Then D is 0.1 and 0.4 for what is left, though
    # neither has been compared with the first pick.
    places = np.array([0.5, 0.02, 0.45, 0.3])
    p = np.column_stack([places, 1.0 - places])
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(1000):
        pool = module._Blocks(p, np.arange(4), 4, 1.0)
        for item in (0, 1):
            pool.pick((int(np.flatnonzero(pool.items[:, 0] == item)[0]), 0))
        assert pool.least <= 0.1 <= pool.least_known
        draws.append(int(pool.items[pool.drawn(rng)]))
    # Weights 0.9 + 0 and 0.6 + 1.
    share = 0.9 / 2.5
    assert_allclose(draws.count(2) / 1000, share, atol=4 * np.sqrt(share * (1 - share) / 1000))
    assert draws.count(3) == 1000 - draws.count(2)


def test_explains_each_pick_by_its_uncertainty_and_its_distance() -> None:
    p = predictions(4, 3000, 6)
    eligible = np.arange(0, 3000, 2)
    picks = falcun(p, eligible, 300, np.random.default_rng(0))
    assert len(set(picks.indices.tolist())) == 300
    assert (picks.indices % 2 == 0).all()
    uncertainty = score("margin", Pool(probabilities=p))
    assert_allclose(picks.details["uncertainty"], uncertainty[picks.indices], atol=1e-6)
    for t, pick in enumerate(picks.indices):
        apart = np.abs(p[picks.indices[:t]] - p[pick]).sum(axis=1)
        expected = min([uncertainty[pick], *apart])
        assert_allclose(picks.details["distance"][t], expected, atol=2e-6)


def test_gamma_zero_is_uniform_and_a_high_one_takes_the_most_uncertain() -> None:
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.7, 0.3], [0.6, 0.4]])
    rng = np.random.default_rng(0)
    firsts = [int(falcun(p, np.arange(4), 1, rng, gamma=0.0).indices[0]) for _ in range(1200)]
    # 1,200 draws of probability 1/4: standard deviation 15; four of them either side.
    assert (np.abs(np.bincount(firsts, minlength=4) - 300) < 60).all()
    assert all(
        select("falcun", Pool(probabilities=p), 1, rng, gamma=2000.0)[0] == 1 for _ in range(20)
    )


def test_where_nothing_is_uncertain_only_chance_is_left() -> None:
    p = np.eye(3)[[0, 1, 2, 0]]
    draws = [falcun(p, np.arange(4), 1, np.random.default_rng(seed)) for seed in range(40)]
    firsts = {int(picks.indices[0]) for picks in draws}
    assert firsts == {0, 1, 2, 3}


def test_median_blocks_hold_near_points_and_every_point_once() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((1000, 2))
    order = median_blocks(points, 50)
    assert_array_equal(np.sort(order), np.arange(1000))
    spread = points[order].reshape(20, 50, 2).std(axis=1).mean()
    # A twentieth of the square is about 0.22 wide: its deviation is 0.065, against 0.29.
    assert spread < 0.1
