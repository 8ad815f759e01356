"""D^2 sampling against the plain loop: the same distribution, and only what it promises."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies.kernels import d2_cells, d2_sampling
from strategies.kernels.d2_sampling import Factor
from strategies.kernels.products import Products

sample = d2_sampling.d2_sampling


def explicit(factors: tuple[Factor, ...]) -> np.ndarray:
    """The points themselves: rows, or outer products of rows, with the offsets appended."""
    points: np.ndarray | None = None
    for factor in factors:
        rows = np.asarray(factor.rows, dtype=np.float64)
        rows = np.hstack([rows, np.full((len(rows), 1), np.sqrt(factor.offset))])
        points = rows if points is None else np.einsum("ni,nj->nij", points, rows)
        points = points.reshape(len(rows), -1)
    assert points is not None
    return points


def square_distances(points: np.ndarray) -> np.ndarray:
    return np.square(points[:, None] - points[None]).sum(axis=2)


def sequence_probabilities(
    points: np.ndarray, size: int, weights: np.ndarray, first: int | None
) -> dict[tuple[int, ...], float]:
    """The probability of every sequence of picks, by the definition."""
    squares = square_distances(points)
    found: dict[tuple[int, ...], float] = {}
    starts = {first: 1.0} if first is not None else dict(enumerate(weights / weights.sum()))
    for sequence in itertools.permutations(range(len(points)), size):
        probability = starts.get(sequence[0], 0.0)
        for t in range(1, size):
            chances = weights * squares[list(sequence[:t])].min(axis=0)
            probability *= chances[sequence[t]] / chances.sum()
        if probability > 0.0:
            found[sequence] = probability
    return found


def chi_square(counts: dict[tuple[int, ...], int], expected: dict[tuple[int, ...], float]) -> float:
    """Pearson's statistic, standardised by its mean and deviation under the hypothesis."""
    assert set(counts) <= set(expected), "a sequence that cannot be"
    draws = sum(counts.values())
    # Rare sequences are pooled, so that the normal limit holds.
    common = {s: p for s, p in expected.items() if p * draws >= 5.0}
    rest = 1.0 - sum(common.values())
    observed = [counts.get(s, 0) for s in common]
    means = [p * draws for p in common.values()]
    if rest * draws >= 5.0:
        observed.append(draws - sum(observed))
        means.append(rest * draws)
    statistic = sum((o - m) ** 2 / m for o, m in zip(observed, means, strict=True))
    freedom = len(means) - 1
    return float((statistic - freedom) / np.sqrt(2.0 * freedom))


def cloud(seed: int, n: int, d: int, c: int | None = None) -> tuple[Factor, ...]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) * rng.exponential(size=(n, 1))
    plain = Factor(rows.astype(np.float32), offset=0.5)
    return (plain,) if c is None else (Factor(rng.normal(size=(n, c)).astype(np.float32)), plain)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells after three picks, met at once, so that a small case goes through all that there is."""
    monkeypatch.setattr(d2_sampling, "FEWEST_CELLS", 3)
    monkeypatch.setattr(d2_sampling, "FINER_CELLS", 2)
    monkeypatch.setattr(d2_cells, "FEWEST_WAITING", 0)
    monkeypatch.setattr(d2_cells, "CELLS_A_PICK", 2)


@pytest.mark.parametrize(
    ("factors", "size", "weighted", "first"),
    [
        (cloud(0, 6, 2), 3, False, 0),
        (cloud(1, 6, 2), 3, True, 4),
        (cloud(2, 5, 3, 2), 4, False, 2),
        (cloud(3, 6, 3, 3), 3, True, None),
    ],
    ids=["plain", "plain weighted", "product", "product weighted, first drawn"],
)
def test_each_sequence_comes_as_often_as_the_definition_says(
    factors: tuple[Factor, ...], size: int, weighted: bool, first: int | None
) -> None:
    n = factors[0].rows.shape[0]
    weights = np.linspace(0.5, 3.0, n) if weighted else np.ones(n)
    expected = sequence_probabilities(explicit(factors), size, weights, first)
    counts: dict[tuple[int, ...], int] = {}
    rng = np.random.default_rng(0)
    for _ in range(1500):
        picks = sample(factors, size, rng, weights=weights if weighted else None, first=first)
        sequence = tuple(picks.positions.tolist())
        counts[sequence] = counts.get(sequence, 0) + 1
    assert abs(chi_square(counts, expected)) < 4.0


@pytest.mark.usefixtures("small_blocks")
def test_late_picks_are_distributed_as_those_of_the_plain_loop() -> None:
    # Far beyond what can be enumerated: how often each of 40 points is among 12 picks.
    factors = cloud(5, 40, 3, 2)
    squares = square_distances(explicit(factors))
    draws = 600
    counts = np.zeros((2, 40))
    rng = np.random.default_rng(1)
    for _ in range(draws):
        counts[0, sample(factors, 12, rng, first=0).positions] += 1
        picks, nearest = [0], squares[0]
        while len(picks) < 12:
            picks.append(int(rng.choice(40, p=nearest / nearest.sum())))
            nearest = np.minimum(nearest, squares[picks[-1]])
        counts[1, picks] += 1
    shares = counts.sum(axis=0) / (2 * draws)
    deviation = np.sqrt(2.0 * shares * (1.0 - shares) / draws)
    difference = np.abs(counts[0] - counts[1]) / draws
    # 40 comparisons: four standard deviations each.
    assert (difference <= 4.0 * deviation + 1e-12).all()


@pytest.mark.usefixtures("small_blocks")
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 60),
    classes=st.sampled_from([None, 1, 3]),
    copies=st.integers(1, 4),
    double=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_distances_are_true_and_equal_points_come_last(
    seed: int, n: int, classes: int | None, copies: int, double: bool
) -> None:
    dtype = np.float64 if double else np.float32
    factors = tuple(
        Factor(np.repeat(np.asarray(f.rows), copies, axis=0).astype(dtype), f.offset)
        for f in cloud(seed, n, 3, classes)
    )
    count = n * copies
    picks = sample(factors, count, np.random.default_rng(seed), first="longest")
    assert_array_equal(np.sort(picks.positions), np.arange(count))
    squares = square_distances(explicit(factors))
    assert picks.square_distances[0] == np.inf
    for t in range(1, count):
        true = squares[picks.positions[t], picks.positions[:t]].min()
        assert_allclose(picks.square_distances[t], true, rtol=1e-9, atol=1e-12 * squares.max())
    # The first n picks are distinct points, what follows are their copies, at distance 0.
    assert len(set((picks.positions[:n] // copies).tolist())) == n
    assert (picks.square_distances[n:] == 0.0).all()


def test_equal_points_are_filled_up_uniformly() -> None:
    points = np.ones((4, 3), dtype=np.float32)
    counts = np.zeros(4)
    rng = np.random.default_rng(0)
    for _ in range(1500):
        counts[sample((Factor(points),), 2, rng, first=0).positions[1]] += 1
    assert counts[0] == 0
    # 1,500 draws of probability 1/3: standard deviation 18.3; four of them either side.
    assert (np.abs(counts[1:] - 500) < 74).all()


def test_what_has_no_weight_comes_after_all_else() -> None:
    weights = np.array([1.0, 0.0, 2.0, 0.0, 1.0])
    points = (Factor(np.arange(5.0)[:, None]),)
    for seed in range(20):
        picks = sample(points, 5, np.random.default_rng(seed), weights=weights).positions
        assert set(picks[:3].tolist()) == {0, 2, 4}


def test_the_longest_is_first_where_that_is_asked_for() -> None:
    points = (Factor(np.array([[1.0, 0.0], [0.0, -3.0], [3.0, 0.0]])),)
    assert sample(points, 1, np.random.default_rng(0), first="longest").positions[0] == 1


def test_positions_count_among_the_candidates() -> None:
    factors = cloud(7, 30, 4, 3)
    candidates = np.arange(3, 30, 3)
    part = tuple(Factor(np.asarray(f.rows)[candidates], f.offset) for f in factors)
    for seed in range(5):
        chosen = sample(factors, 6, np.random.default_rng(seed), candidates=candidates)
        alone = sample(part, 6, np.random.default_rng(seed))
        assert_array_equal(chosen.positions, alone.positions)


def clustered(n: int, rng: np.random.Generator) -> tuple[Factor, ...]:
    """Points in tight heaps of very different size and length, in which bounds are put to work."""
    heaps = rng.normal(size=(30, 8))
    rows = heaps[rng.integers(30, size=n) * rng.integers(2, size=n)]
    rows = (rows + 0.02 * rng.normal(size=(n, 8))) * rng.exponential(size=(n, 1))
    return (Factor(rng.normal(size=(n, 3)).astype(np.float32)), Factor(rows.astype(np.float32)))


def test_picks_of_many_stay_true_through_every_kind_of_bound() -> None:
    factors = clustered(6000, np.random.default_rng(0))
    points = explicit(factors)
    picks = sample(factors, 500, np.random.default_rng(1))
    nearest = np.full(6000, np.inf)
    expected = []
    for position in picks.positions:
        expected.append(nearest[position])
        nearest = np.minimum(nearest, np.square(points - points[position]).sum(axis=1))
    assert_allclose(picks.square_distances, expected, rtol=1e-6)


def test_bounds_hold_for_every_candidate_and_are_tight_enough_to_serve() -> None:
    factors = clustered(6000, np.random.default_rng(5))
    points = explicit(factors)
    sampler = d2_sampling._Sampler(factors, None, 500, "cpu")
    sampler.sample(np.random.default_rng(6), None, "longest")
    nearest = np.full(6000, np.inf)
    for position in sampler.picks:
        nearest = np.minimum(nearest, np.square(points - points[position]).sum(axis=1))
    norms = np.square(points).sum(axis=1)
    assert (sampler.upper >= nearest - 1e-12 * norms).all()
    assert sampler.cells.offsets
    # Bounds that had met no more picks than the cells are formed of would be four times as much.
    assert sampler.upper.sum() < 2.0 * nearest.sum()


def test_another_device_gives_the_same_picks(monkeypatch: pytest.MonkeyPatch) -> None:
    # PyTorch on the processor stands in for the GPU: another library, other roundings.
    factors = clustered(3000, np.random.default_rng(3))
    expected = sample(factors, 300, np.random.default_rng(4))

    def on_torch(matrix: Any, _device: str) -> Products:
        products = Products(matrix)
        products._on_device = torch.from_numpy(np.array(matrix))
        return products

    monkeypatch.setattr(d2_sampling, "Products", on_torch)
    picks = sample(factors, 300, np.random.default_rng(4), device="cuda")
    assert_array_equal(picks.positions, expected.positions)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_gpu_gives_the_same_picks() -> None:
    factors = clustered(20000, np.random.default_rng(3))
    expected = sample(factors, 1000, np.random.default_rng(4))
    picks = sample(factors, 1000, np.random.default_rng(4), device="cuda")
    assert_array_equal(picks.positions, expected.positions)
