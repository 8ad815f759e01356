"""Several softmax regressions on the same inputs at once, by L-BFGS.

Objective of problem k, with example weights v (normalised to sum 1) and bias b unpenalised:
    sum_i v_ki * cross_entropy(x_i W_k' + b_k, y_i) + penalty_k * ||W_k||^2
The penalty stands against the *mean* loss, so that its meaning does not change as labels come in.
L-BFGS: Liu and Nocedal 1989, two-loop recursion, with Armijo backtracking; each problem has its
own history and step length, while all of them share the matrix products. The first Hessian is
diagonal, from the inputs' second moments: near the true one once the inputs lie along their
principal axes (`principal_axes`), which saves most of the iterations that weak penalties need.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_HISTORY = 10
_SUFFICIENT_DECREASE = 1e-4
_HALVINGS = 30


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread.

    L-BFGS is thousands of short operations with a barrier of all threads after each. Beside another
    busy process (the embedding worker) every barrier waits for a descheduled thread: 20 s instead
    of 3 s were seen, while two undisturbed threads save only a third.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Solution:
    """`parameters` (k, c, d + 1), the bias last; `converged` (k,); `evaluations` of the batch."""

    parameters: NDArray[np.float64]
    converged: NDArray[np.bool_]
    evaluations: int


class SoftmaxProblems:
    """k softmax regressions over inputs (m, d) and labels (m,) in 0..c-1.

    `weights` (k, m) >= 0 chooses and weighs the examples of each problem (folds are weights of 0
    and 1). `double` computes in float64 instead of float32.
    """

    def __init__(
        self,
        inputs: NDArray[np.floating],
        labels: NDArray[np.integer],
        classes: int,
        weights: NDArray[np.floating],
        *,
        double: bool,
    ) -> None:
        import torch

        self._type = torch.float64 if double else torch.float32
        ones = np.ones((len(inputs), 1), dtype=inputs.dtype)
        extended = np.concatenate([inputs, ones], axis=1)
        self._inputs = torch.from_numpy(extended).to(self._type)
        self._labels = torch.from_numpy(np.asarray(labels, dtype=np.int64))
        shares = weights / weights.sum(axis=1, keepdims=True)
        self._weights = torch.from_numpy(shares).to(self._type)
        self._classes = classes
        # Curvature of the softmax at equal probabilities, times each input's second moment.
        self._moments = self._inputs.square().mean(dim=0) * (classes - 1) / classes**2

    def solve(
        self,
        penalty: float,
        start: NDArray[np.floating] | None = None,
        *,
        tolerance: float,
        max_evaluations: int = 500,
    ) -> Solution:
        """Minimise from `start` (k, c, d + 1), zeros when None.

        A problem stops when no entry of its gradient exceeds `tolerance`, or when float rounding
        lets no step go down any more.
        """
        import torch

        with torch.inference_mode():
            return self._minimise(penalty, start, tolerance, max_evaluations)

    def losses(self, parameters: NDArray[np.floating]) -> NDArray[np.float64]:
        """(k, m) unweighted cross-entropy of every example under every problem's parameters."""
        import torch

        with torch.inference_mode():
            logits = self._logits(torch.from_numpy(parameters).to(self._type))
            losses: NDArray[np.float64] = self._cross_entropy(logits).double().numpy()
        return losses

    def _logits(self, parameters: "torch.Tensor") -> "torch.Tensor":
        """(k, c, m): examples last, so that the softmax runs over whole vectors of examples."""
        k, c, width = parameters.shape
        return (parameters.reshape(k * c, width) @ self._inputs.T).view(k, c, -1)

    def _cross_entropy(self, logits: "torch.Tensor") -> "torch.Tensor":
        chosen = logits.gather(1, self._labels.expand(len(logits), 1, -1)).squeeze(1)
        return logits.logsumexp(dim=1) - chosen

    def _evaluate(
        self, parameters: "torch.Tensor", rows: "torch.Tensor", penalty: float
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Objective (r,) and gradient (r, c, d + 1) of the problems `rows`."""
        k, c, width = parameters.shape
        weights = self._weights[rows]
        logits = self._logits(parameters)
        objective = (weights * self._cross_entropy(logits)).sum(dim=1)
        objective += penalty * parameters[:, :, :-1].square().sum(dim=(1, 2))
        residual = logits.softmax(dim=1)
        labels = self._labels.expand(k, 1, -1)
        residual.scatter_add_(1, labels, residual.new_full(labels.shape, -1.0))
        residual *= weights[:, None, :]
        gradient = (residual.view(k * c, -1) @ self._inputs).view(k, c, width)
        gradient[:, :, :-1] += 2 * penalty * parameters[:, :, :-1]
        return objective, gradient

    def _minimise(
        self,
        penalty: float,
        start: NDArray[np.floating] | None,
        tolerance: float,
        max_evaluations: int,
    ) -> Solution:
        import torch

        shape = (len(self._weights), self._classes, self._inputs.shape[1])
        now = torch.zeros(shape, dtype=self._type)
        if start is not None:
            now.copy_(torch.from_numpy(np.ascontiguousarray(start)))
        every = torch.arange(shape[0])
        objective, gradient = self._evaluate(now, every, penalty)
        evaluations = 1
        curvature = self._moments + 2 * penalty
        curvature[-1] = self._moments[-1]
        metric = (1 / curvature).expand(shape).flatten(1)
        history: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        running = gradient.flatten(1).abs().amax(dim=1) > tolerance
        while bool(running.any()) and evaluations < max_evaluations:
            direction = -_inverse_hessian_product(gradient.flatten(1), history, metric).view(shape)
            slope = (direction * gradient).sum(dim=(1, 2))
            uphill = slope >= 0
            if bool(uphill.any()):
                direction[uphill] = -gradient[uphill]
                slope[uphill] = -gradient[uphill].square().sum(dim=(1, 2))
            step = torch.ones(shape[0], dtype=self._type)
            before, gradient_before = now.clone(), gradient.clone()
            trying = running.clone()
            for _ in range(_HALVINGS):
                rows = every[trying]
                moved = before[rows] + step[rows, None, None] * direction[rows]
                value, slope_there = self._evaluate(moved, rows, penalty)
                evaluations += 1
                good = value <= objective[rows] + _SUFFICIENT_DECREASE * step[rows] * slope[rows]
                accepted = rows[good]
                now[accepted], gradient[accepted] = moved[good], slope_there[good]
                objective[accepted] = value[good]
                trying[accepted] = False
                if not bool(trying.any()):
                    break
                step[trying] /= 2
            running &= ~trying  # no step goes down: as good as this precision allows
            change, turn = (now - before).flatten(1), (gradient - gradient_before).flatten(1)
            history = [*history[-(_HISTORY - 1) :], (change, turn, (change * turn).sum(dim=1))]
            running &= gradient.flatten(1).abs().amax(dim=1) > tolerance
        converged = gradient.flatten(1).abs().amax(dim=1) <= tolerance
        return Solution(now.double().numpy(), converged.numpy(), evaluations)


def principal_axes(inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """(d, r) orthonormal axes that span the inputs (m, d), r <= min(m, d).

    A penalised optimum lies in their span (representer theorem), so nothing is lost.
    """
    import torch

    with torch.inference_mode():
        values = torch.from_numpy(inputs).double()
        m, d = values.shape
        if m >= d:
            axes: NDArray[np.float64] = torch.linalg.eigh(values.T @ values)[1].numpy()
            return axes
        spread, left = torch.linalg.eigh(values @ values.T)
        kept = spread > spread[-1] * 1e-12
        spanning: NDArray[np.float64] = (values.T @ (left[:, kept] / spread[kept].sqrt())).numpy()
    return spanning


def _inverse_hessian_product(
    gradient: "torch.Tensor",
    history: "list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]",
    metric: "torch.Tensor",
) -> "torch.Tensor":
    """(k, p): L-BFGS's two-loop recursion, row by row; a problem that did not move adds nothing."""
    import torch

    result = gradient.clone()
    kept = []
    for change, turn, curvature in reversed(history):
        inverse = torch.where(curvature > 0, 1 / curvature, 0.0)
        inverse = torch.where(torch.isfinite(inverse), inverse, 0.0)
        alpha = inverse * (change * result).sum(dim=1)
        result -= alpha[:, None] * turn
        kept.append((change, turn, inverse, alpha))
    result *= metric
    if history:
        change, turn, curvature = history[-1]
        scale = curvature / (turn.square() * metric).sum(dim=1)
        usable = torch.isfinite(scale) & (scale > 0)
        result *= torch.where(usable, scale, 1.0)[:, None]
    for change, turn, inverse, alpha in reversed(kept):
        beta = inverse * (turn * result).sum(dim=1)
        result += (alpha - beta)[:, None] * change
    return result
