"""The solver finds, for each of several problems, the optimum of an independent optimiser."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.models.softmax_regression import SoftmaxProblems, principal_axes


def drawn(m: int, d: int, c: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(c), rng.integers(c, size=m - c)])
    centres = rng.standard_normal((c, d))
    return (centres[labels] + rng.standard_normal((m, d))).astype(np.float32), labels


def objective(
    parameters: np.ndarray, inputs: np.ndarray, labels: np.ndarray, v: np.ndarray, penalty: float
) -> float:
    """The module's formula, written out example by example in float64."""
    total = 0.0
    for x, y, weight in zip(inputs.astype(float), labels, v / v.sum(), strict=True):
        scores = parameters[:, :-1] @ x + parameters[:, -1]
        total += weight * (np.logaddexp.reduce(scores) - scores[y])
    return total + penalty * float((parameters[:, :-1] ** 2).sum())


def oracle(inputs: np.ndarray, labels: np.ndarray, v: np.ndarray, penalty: float) -> np.ndarray:
    """The optimum by torch's own L-BFGS with autograd in float64."""
    x, y = torch.tensor(inputs, dtype=torch.float64), torch.tensor(labels)
    shares = torch.tensor(v / v.sum())
    count = int(labels.max()) + 1
    matrix = torch.zeros(count, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [matrix, bias],
        max_iter=2_000,
        tolerance_grad=1e-10,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        losses = torch.nn.functional.cross_entropy(x @ matrix.T + bias, y, reduction="none")
        loss = (shares * losses).sum() + penalty * matrix.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return torch.cat([matrix, bias[:, None]], dim=1).detach().numpy()


@pytest.mark.parametrize("penalty", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("shape", [(60, 5, 3), (30, 50, 2), (200, 20, 7)])
def test_the_optimum_is_the_oracles(shape: tuple[int, int, int], penalty: float) -> None:
    inputs, labels = drawn(*shape)
    v = np.ones(len(labels))
    problem = SoftmaxProblems(inputs, labels, shape[2], v[None], double=True)
    solution = problem.solve(penalty, tolerance=1e-9)
    assert solution.converged.all()
    expected = oracle(inputs, labels, v, penalty)
    np.testing.assert_allclose(solution.parameters[0][:, :-1], expected[:, :-1], atol=2e-3)
    found = objective(solution.parameters[0], inputs, labels, v, penalty)
    assert found == pytest.approx(objective(expected, inputs, labels, v, penalty), abs=1e-9)


def test_the_gradient_vanishes_numerically_at_the_solution() -> None:
    inputs, labels = drawn(40, 4, 3)
    v = np.random.default_rng(1).uniform(0.5, 2, size=40)
    problem = SoftmaxProblems(inputs, labels, 3, v[None], double=True)
    best = problem.solve(1e-2, tolerance=1e-9).parameters[0]
    step = 1e-5
    for position in np.ndindex(best.shape):
        up, down = best.copy(), best.copy()
        up[position] += step
        down[position] -= step
        slope = objective(up, inputs, labels, v, 1e-2) - objective(down, inputs, labels, v, 1e-2)
        assert abs(slope / (2 * step)) < 1e-7


def test_problems_solved_together_are_those_solved_alone() -> None:
    inputs, labels = drawn(90, 6, 3)
    rng = np.random.default_rng(2)
    weights = np.stack([rng.integers(0, 2, 90), rng.uniform(0.1, 3, 90), np.ones(90)]).astype(float)
    weights[0, :3] = 1  # every class occurs
    together = SoftmaxProblems(inputs, labels, 3, weights, double=True)
    solutions = together.solve(1e-3, tolerance=1e-9).parameters
    for row, v in enumerate(weights):
        kept = v > 0
        alone = SoftmaxProblems(inputs[kept], labels[kept], 3, v[None, kept], double=True)
        expected = alone.solve(1e-3, tolerance=1e-9).parameters[0]
        np.testing.assert_allclose(solutions[row], expected, atol=1e-4)


def test_repeating_every_example_changes_nothing_since_the_penalty_is_on_the_mean_loss() -> None:
    inputs, labels = drawn(50, 8, 4)
    once = SoftmaxProblems(inputs, labels, 4, np.ones((1, 50)), double=True)
    thrice = SoftmaxProblems(
        np.tile(inputs, (3, 1)), np.tile(labels, 3), 4, np.ones((1, 150)), double=True
    )
    np.testing.assert_allclose(
        once.solve(1e-3, tolerance=1e-9).parameters,
        thrice.solve(1e-3, tolerance=1e-9).parameters,
        atol=1e-5,
    )


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), double=st.booleans())
def test_every_start_leads_to_the_same_optimum(seed: int, double: bool) -> None:
    inputs, labels = drawn(40, 5, 3, seed)
    problem = SoftmaxProblems(inputs, labels, 3, np.ones((1, 40)), double=double)
    start = np.random.default_rng(seed).standard_normal((1, 3, 6)) * 5
    cold = problem.solve(1e-2, tolerance=1e-5).parameters[0]
    warm = problem.solve(1e-2, start, tolerance=1e-5).parameters[0]
    np.testing.assert_allclose(cold[:, :-1], warm[:, :-1], atol=5e-3)


def test_losses_are_each_examples_cross_entropy() -> None:
    inputs, labels = drawn(20, 3, 3)
    parameters = np.random.default_rng(3).standard_normal((2, 3, 4))
    problem = SoftmaxProblems(inputs, labels, 3, np.ones((2, 20)), double=True)
    for row in range(2):
        expected = [
            objective(parameters[row], inputs[[i]], labels[[i]], np.ones(1), 0.0) for i in range(20)
        ]
        np.testing.assert_allclose(problem.losses(parameters)[row], expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (5, 5)])
def test_principal_axes_are_orthonormal_and_span_the_inputs(shape: tuple[int, int]) -> None:
    inputs = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    axes = principal_axes(inputs)
    np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-9)
    np.testing.assert_allclose(inputs @ axes @ axes.T, inputs, atol=1e-5)
