"""Greedy coverage: the picks of the plain float64 loop, whatever the shape of the problem."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from strategies.kernels import facility, facility_dense, facility_sparse
from strategies.kernels.facility_greedy import CoveragePicks, CoverageProblem, greedy_coverage
from strategies.kernels.facility_rows import mean_row
from strategies.kernels.facility_values import Ball, ClippedCosine, Gaussian, Value
from tests.strategies.coverage_oracle import ball, clipped_cosine, clustered, gaussian, greedy_loop

VALUES: dict[str, tuple[Value, Any, bool]] = {
    "gaussian, centred": (Gaussian(1.0), gaussian(1.0), True),
    "narrow gaussian": (Gaussian(0.3), gaussian(0.3), False),
    "cosine": (ClippedCosine(), clipped_cosine, False),
    "ball": (Ball(0.6), ball(0.6), False),
}
EVERYTHING = 10**9
COSINE = ClippedCosine()


def solve(embeddings: np.ndarray, size: int, value: Value = COSINE, **given: Any) -> CoveragePicks:
    n = len(embeddings)
    problem = CoverageProblem(
        points=embeddings,
        weights=given.get("weights", np.ones(n)),
        eligible=given.get("eligible", np.arange(n)),
        labelled=given.get("labelled"),
        mean=mean_row(embeddings) if given.get("centre") else None,
        value=value,
        sample=given.get("sample", EVERYTHING),
        device=given.get("device", "cpu"),
        bare=given.get("bare", EVERYTHING),
    )
    return greedy_coverage(problem, size)


@pytest.fixture(params=["float64 products", "float32 products"])
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "float32 products":
        monkeypatch.setattr(facility, "FLOAT64_ROWS", 0)


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("labelled_count", [0, 3, 30])
@pytest.mark.parametrize("excluded_share", [0.0, 0.7])
def test_picks_and_gains_are_those_of_the_plain_loop(
    name: str, dtype: type, labelled_count: int, excluded_share: float
) -> None:
    value, slow, centre = VALUES[name]
    rng = np.random.default_rng(1)
    embeddings = clustered(250, 16, dtype)
    embeddings[50:60] = embeddings[40:50]
    embeddings[70] = 0.0
    given: dict[str, Any] = {
        "labelled": clustered(labelled_count, 16, dtype, seed=2),
        "eligible": np.flatnonzero(rng.random(250) >= excluded_share),
        "centre": centre,
        "weights": np.ones(250) if name == "ball" else rng.random(250),
    }
    found = solve(embeddings, 40, value, **given)
    picks, objectives = greedy_loop(embeddings, 40, slow, counts=name == "ball", **given)
    assert found.indices.tolist() == picks
    # What is covered after the batch less what was covered before it.
    assert_allclose(np.diff(objectives), found.gains[1:], atol=1e-12)


@pytest.mark.usefixtures("products")
def test_large_blocks_and_many_labels_change_nothing() -> None:
    # More rows than one block of products, so that both triangles and the diagonal are walked.
    embeddings = clustered(1200, 12, np.float32, clusters=40)
    labelled = clustered(150, 12, np.float32, clusters=40, seed=3)
    found = solve(embeddings, 50, labelled=labelled)
    assert (
        found.indices.tolist() == greedy_loop(embeddings, 50, clipped_cosine, labelled=labelled)[0]
    )


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("most_edges", [1, 10**9])
def test_on_demand_and_by_graph_make_the_same_picks(
    most_edges: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facility_dense, "MAX_EDGES_A_ROW", most_edges)
    monkeypatch.setattr(facility_dense, "MAX_EDGES", most_edges)
    monkeypatch.setattr(facility_sparse, "EDGES_AT_ONCE", 4096)
    embeddings = clustered(400, 8, np.float64)
    found = solve(embeddings, 80, Gaussian(1.0))
    assert found.indices.tolist() == greedy_loop(embeddings, 80, gaussian(1.0))[0]


def test_equal_rows_count_as_often_as_they_are_there_and_are_picked_once() -> None:
    # Three of one direction (2, 3, 5), two of another, far away; the first may not be picked.
    rows = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [-1.0, -1.0], [1.0, 0.0]])
    found = solve(rows, 5, eligible=np.array([0, 1, 3, 4, 5]))
    assert found.indices.tolist() == [3, 0, 4, 1, 5]
    assert found.covered.tolist() == [3, 2, 1, 0, 0]
    assert_allclose(found.gains, [3 / 6, 2 / 6, 1 / 6, 0, 0])


def test_of_two_items_that_gain_only_from_each_other_the_worse_covered_comes_first() -> None:
    angles = np.radians([20.0, 0.0, 90.0])
    rows = np.column_stack([np.cos(angles), np.sin(angles)])
    # The labelled one, at 60 degrees, is nearer to 20 than to 0: 0 degrees is covered worse.
    turned = np.radians([60.0, 90.0])
    labelled = np.column_stack([np.cos(turned), np.sin(turned)])
    assert solve(rows, 1, labelled=labelled).indices.tolist() == [1]


def test_without_weight_nothing_gains_and_the_order_of_the_pool_is_left() -> None:
    found = solve(clustered(50, 4, np.float64), 6, weights=np.zeros(50))
    assert found.indices.tolist() == [0, 1, 2, 3, 4, 5]
    assert_array_equal(found.gains, np.zeros(6))


def test_gains_never_rise() -> None:
    # Submodularity: what an item adds to more is never more.
    for value, _, _ in VALUES.values():
        gains = solve(clustered(500, 10, np.float32), 200, value).gains
        assert (np.diff(gains) <= 1e-12).all()
        assert gains.min() >= 0.0
        assert gains.sum() <= 1.0 + 1e-12


def test_rows_beyond_the_squares_of_their_precision_are_placed_all_the_same() -> None:
    rows = clustered(80, 5, np.float64)
    for scale in (1e200, 1e-200):
        assert_array_equal(solve(rows * scale, 20).indices, solve(rows, 20).indices)


class TestSample:
    """A pool with more rows than `sample`."""

    embeddings = clustered(2000, 8, np.float32, clusters=30)
    labelled = clustered(20, 8, np.float32, clusters=30, seed=5)

    def sampled(self, embeddings: np.ndarray, size: int, **given: Any) -> CoveragePicks:
        return solve(embeddings, size, Gaussian(1.0), sample=600, labelled=self.labelled, **given)

    def test_reaches_nearly_the_objective_of_the_exact_greedy(self) -> None:
        def objective(picks: np.ndarray) -> float:
            rows = np.concatenate([self.labelled, self.embeddings[picks]])
            return covered_share(self.embeddings, rows, 1.0)

        exact = solve(self.embeddings, 60, Gaussian(1.0), labelled=self.labelled)
        rough = self.sampled(self.embeddings, 60)
        assert rough.sampled == 600
        assert objective(rough.indices) >= 0.97 * objective(exact.indices)

    def test_does_not_depend_on_the_order_of_the_pool(self) -> None:
        order = np.random.default_rng(0).permutation(2000)
        moved = self.sampled(self.embeddings[order], 40)
        assert_array_equal(order[moved.indices], self.sampled(self.embeddings, 40).indices)

    def test_gains_estimate_those_over_the_whole_pool(self) -> None:
        exact = solve(self.embeddings, 1, Gaussian(1.0), labelled=self.labelled)
        assert_allclose(self.sampled(self.embeddings, 1).gains, exact.gains, rtol=0.15)

    @pytest.mark.parametrize("size", [400, 1900, 2000])
    def test_a_batch_larger_than_the_sample_takes_several(self, size: int) -> None:
        picks = self.sampled(self.embeddings, size).indices
        assert len(set(picks.tolist())) == size

    def test_a_few_candidates_are_all_looked_at(self) -> None:
        eligible = np.arange(0, 2000, 100)
        picks = self.sampled(self.embeddings, 20, eligible=eligible).indices
        assert_array_equal(np.sort(picks), eligible)

    def test_rare_items_of_high_weight_are_in_it(self) -> None:
        weights = np.full(2000, 1e-6)
        weights[[17, 1234]] = 1.0
        picks = self.sampled(self.embeddings, 2, weights=weights).indices
        assert set(picks.tolist()) == {17, 1234}


class TestBarePool:
    """Nothing is covered yet, so nearly every pair of rows could gain."""

    embeddings = clustered(3000, 8, np.float32, clusters=40)

    @pytest.fixture(autouse=True)
    def few_edges(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # What a graph may have grows with the pools that are worth it; so here it shrinks.
        monkeypatch.setattr(facility_dense, "MAX_EDGES_A_ROW", 60)

    def begun(self, size: int, **given: Any) -> CoveragePicks:
        return solve(self.embeddings, size, Gaussian(1.0), bare=500, **given)

    @pytest.mark.parametrize("size", [10, 60, 400])
    def test_reaches_nearly_the_objective_of_the_exact_greedy(self, size: int) -> None:
        exact = solve(self.embeddings, size, Gaussian(1.0))
        quick = self.begun(size)
        assert (exact.sampled, quick.sampled) == (0, 500)
        reached = covered_share(self.embeddings, self.embeddings[quick.indices], 1.0)
        best = covered_share(self.embeddings, self.embeddings[exact.indices], 1.0)
        assert reached >= 0.97 * best

    def test_a_larger_batch_begins_with_the_smaller_one(self) -> None:
        picks = self.begun(400).indices
        assert_array_equal(picks[:15], self.begun(15).indices)
        assert len(set(picks.tolist())) == 400

    def test_labels_that_cover_much_make_all_rows_count_from_the_start(self) -> None:
        labelled = clustered(800, 8, np.float32, clusters=40)
        found = self.begun(50, labelled=labelled)
        exact = solve(self.embeddings, 50, Gaussian(1.0), labelled=labelled)
        assert found.sampled == 0
        assert_array_equal(found.indices, exact.indices)

    def test_does_not_depend_on_the_order_of_the_pool(self) -> None:
        order = np.random.default_rng(0).permutation(3000)
        moved = solve(self.embeddings[order], 100, Gaussian(1.0), bare=500)
        assert_array_equal(order[moved.indices], self.begun(100).indices)


def covered_share(embeddings: np.ndarray, rows: np.ndarray, bandwidth: float) -> float:
    """The mean best Gaussian value of each embedding over the rows."""
    z = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    centres = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return float(np.exp((2.0 / bandwidth**2) * ((z @ centres.T).max(axis=1) - 1.0)).mean())


@pytest.mark.parametrize(
    "device",
    [
        "cpu:0",  # PyTorch's path, on its processor device
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU"),
        ),
    ],
)
@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("name", VALUES)
def test_another_device_makes_the_same_picks(device: str, name: str) -> None:
    value, _, centre = VALUES[name]
    embeddings = clustered(1100, 8, np.float32)
    embeddings[5] = 0.0
    for labelled in (None, clustered(40, 8, np.float32, seed=4)):
        given = {"centre": centre, "labelled": labelled}
        here = solve(embeddings, 25, value, **given)
        there = solve(embeddings, 25, value, **given, device=device)
        assert_array_equal(there.indices, here.indices)
