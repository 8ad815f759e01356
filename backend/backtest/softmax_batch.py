"""Softmax regressions of many training sets at once: one optimisation for all runs of a round.

As `backend.models.softmax_regression`, but every model k has its own examples, so that one batched
matrix product serves all models, and every model may have several weightings f of them (its folds):
    sum_i v_kfi * cross_entropy(x_ki W_kf' + b_kf, y_ki) + penalty * ||W_kf||^2
with v_kf summing to 1. L-BFGS: Liu and Nocedal 1989, with Armijo backtracking; each problem has its
own history and step, and models that are done leave the computation.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_HISTORY = 10
_SUFFICIENT_DECREASE = 1e-4
_HALVINGS = 30
# Once so few of the models still move, the others are taken out of the arrays.
_SHARE_KEPT = 0.75


class SoftmaxBatch:
    """k models over inputs (k, m, d), labels (k, m) in 0..c-1 and weights (k, f, m) >= 0.

    `seen` (k, c) bool are the classes that a model knows; of the others it has no parameters. A row
    of weight 0 in every f is padding. Computes in float32, or in float64 where `double`.
    """

    def __init__(
        self,
        inputs: NDArray[np.float32],
        labels: NDArray[np.int64],
        seen: NDArray[np.bool_],
        weights: NDArray[np.floating],
        *,
        double: bool = False,
    ) -> None:
        import torch

        self._type = torch.float64 if double else torch.float32
        ones = np.ones((*inputs.shape[:2], 1), dtype=np.float32)
        self._inputs = torch.from_numpy(np.concatenate([inputs, ones], axis=2)).to(self._type)
        self._labels = torch.from_numpy(np.ascontiguousarray(labels))
        shares = weights / weights.sum(axis=2, keepdims=True)
        self._weights = torch.from_numpy(shares).to(self._type)
        closed = np.where(seen, 0.0, -np.inf)
        self._closed = torch.from_numpy(closed).to(self._type)[:, None, :, None]
        # Curvature of the softmax at equal probabilities, times each input's second moment.
        classes = torch.from_numpy(seen.sum(axis=1)).to(self._type)
        real = self._weights.sum(dim=1).gt(0).to(self._type)
        moments = torch.einsum("km,kmd->kd", real, self._inputs.square())
        factor = (classes - 1) / classes.square() / real.sum(dim=1)
        self._moments = moments * factor[:, None]
        self.shape = (*weights.shape[:2], seen.shape[1], self._inputs.shape[2])

    def solve(
        self,
        penalties: NDArray[np.float64],
        start: NDArray[np.floating] | None,
        *,
        tolerances: NDArray[np.float64],
        models: NDArray[np.int64] | None = None,
        max_iterations: int = 500,
    ) -> NDArray[np.float64]:
        """(r, f, c, d + 1) float64 parameters, the bias last, of `models` (r,) (None: all).

        `penalties` (r,) and `tolerances` (r,): a problem stops when no entry of its gradient
        exceeds its model's tolerance, or when rounding lets no step go down any more. `start` has
        the result's shape; zeros when None.
        """
        import torch

        with torch.inference_mode():
            rows = np.arange(self.shape[0]) if models is None else models
            search = _Search(self, torch.from_numpy(rows), penalties, start, tolerances)
            found: NDArray[np.float64] = search.run(max_iterations).double().numpy()
        return found

    def losses(
        self, parameters: NDArray[np.float64], models: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """(r, f, m) unweighted cross-entropy of every example of `models` (r,)."""
        import torch

        with torch.inference_mode():
            rows = torch.from_numpy(models)
            logits = self.logits(torch.from_numpy(parameters).to(self._type), self._inputs[rows])
            logits += self._closed[rows]
            labels = self._labels[rows][:, None, None].expand(-1, logits.shape[1], 1, -1)
            chosen = logits.gather(2, labels).squeeze(2)
            found: NDArray[np.float64] = (logits.logsumexp(dim=2) - chosen).double().numpy()
        return found

    @staticmethod
    def logits(parameters: "torch.Tensor", inputs: "torch.Tensor") -> "torch.Tensor":
        """(r, f, c, m): examples last, so that the softmax runs over whole vectors of them."""
        r, f, c, width = parameters.shape
        return (parameters.view(r, f * c, width) @ inputs.transpose(1, 2)).view(r, f, c, -1)


def _at(values: "torch.Tensor", rows: "torch.Tensor | None") -> "torch.Tensor":
    """The values of some models; all of them, uncopied, for None."""
    return values if rows is None else values[rows]


class _Search:
    """One minimisation; its arrays hold the models that still move, the result holds all."""

    def __init__(
        self,
        batch: SoftmaxBatch,
        rows: "torch.Tensor",
        penalties: NDArray[np.float64],
        start: NDArray[np.floating] | None,
        tolerances: NDArray[np.float64],
    ) -> None:
        import torch

        kind = batch._type
        at = None if torch.equal(rows, torch.arange(batch.shape[0])) else rows
        self._inputs, self._weights = _at(batch._inputs, at), _at(batch._weights, at)
        self._labels, self._closed = _at(batch._labels, at), _at(batch._closed, at)
        moments = _at(batch._moments, at)
        self._penalty = torch.from_numpy(np.asarray(penalties)).to(kind)[:, None]
        self._tolerance = torch.from_numpy(np.asarray(tolerances)).to(kind)[:, None]
        shape = (len(rows), *batch.shape[1:])
        self._now = torch.zeros(shape, dtype=kind)
        if start is not None:
            self._now.copy_(torch.from_numpy(np.ascontiguousarray(start)))
        curvature = moments + 2 * self._penalty
        curvature[:, -1] = moments[:, -1]
        self._metric = (1 / curvature)[:, None, None, :]
        self._history: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._result = self._now.clone()
        self._place = torch.arange(len(rows))

    def run(self, max_iterations: int) -> "torch.Tensor":
        import torch

        everything = torch.arange(len(self._now))
        self._objective, self._gradient = self._evaluate(self._now, everything)
        running = self._steep()
        for _ in range(max_iterations):
            alive = running.any(dim=1)
            if not bool(alive.any()):
                break
            if float(alive.double().mean()) < _SHARE_KEPT:
                running = self._keep(alive, running)
            running = self._step(running)
        self._result[self._place] = self._now
        return self._result

    def _steep(self) -> "torch.Tensor":
        """(r, f): whose gradient is still above its tolerance."""
        return self._gradient.abs().amax(dim=(2, 3)) > self._tolerance

    def _step(self, running: "torch.Tensor") -> "torch.Tensor":
        """One L-BFGS step of every running problem; who runs on."""
        import torch

        gradient = self._gradient
        direction = -self._inverse_hessian_product()
        direction *= running[:, :, None, None]
        slope = (direction * gradient).sum(dim=(2, 3))
        uphill = (slope >= 0) & running
        if bool(uphill.any()):
            direction[uphill] = -gradient[uphill]
            slope[uphill] = -gradient[uphill].square().sum(dim=(1, 2))
        trying = running.clone()
        step = torch.ones_like(slope)
        change, turn = torch.zeros_like(gradient), torch.zeros_like(gradient)
        for _ in range(_HALVINGS):
            rows = trying.any(dim=1).nonzero().squeeze(1)
            whole = len(rows) == len(trying)
            some = None if whole else rows
            moved = _at(direction, some) * _at(step, some)[:, :, None, None]
            value, there = self._evaluate(_at(self._now, some) + moved, rows)
            decrease = _SUFFICIENT_DECREASE * _at(step, some) * _at(slope, some)
            good = (value <= _at(self._objective, some) + decrease) & _at(trying, some)
            if whole and bool(good.all()):
                change, turn = moved, there - gradient
                self._now += moved
                self._gradient, self._objective = there, value
                trying[:] = False
                break
            model, fold = good.nonzero(as_tuple=True)
            at = rows[model]
            change[at, fold] = moved[model, fold]
            turn[at, fold] = there[model, fold] - gradient[at, fold]
            self._now[at, fold] += moved[model, fold]
            self._objective[at, fold] = value[model, fold]
            trying[at, fold] = False
            if not bool(trying.any()):
                self._gradient = gradient + turn
                break
            step[trying] /= 2
        else:
            self._gradient = gradient + turn
        curvature = (change * turn).sum(dim=(2, 3))
        self._history = [*self._history[-(_HISTORY - 1) :], (change, turn, curvature)]
        # Who could not go down is as good as this precision allows.
        return running & ~trying & self._steep()

    def _evaluate(
        self, parameters: "torch.Tensor", rows: "torch.Tensor"
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Objective (r, f) and gradient (r, f, c, d + 1) of the models at `rows`."""
        whole = len(rows) == len(self._inputs)
        inputs, weights, labels, closed, penalty = (
            values if whole else values[rows]
            for values in (self._inputs, self._weights, self._labels, self._closed, self._penalty)
        )
        r, f, c, width = parameters.shape
        logits = SoftmaxBatch.logits(parameters, inputs)
        logits += closed
        logits -= logits.amax(dim=2, keepdim=True)
        index = labels[:, None, None].expand(-1, f, 1, -1)
        chosen = logits.gather(2, index).squeeze(2)
        residual = logits.exp_()
        total = residual.sum(dim=2)
        objective = (weights * (total.log() - chosen)).sum(dim=2)
        objective += penalty * parameters[..., :-1].square().sum(dim=(2, 3))
        residual *= (weights / total)[:, :, None, :]
        residual.scatter_add_(2, index, -weights[:, :, None, :])
        gradient = (residual.view(r, f * c, -1) @ inputs).view(r, f, c, width)
        gradient[..., :-1] += 2 * penalty[:, :, None, None] * parameters[..., :-1]
        return objective, gradient

    def _inverse_hessian_product(self) -> "torch.Tensor":
        """L-BFGS's two-loop recursion, problem by problem; one that did not move adds nothing."""
        import torch

        result = self._gradient.clone()
        kept = []
        for change, turn, curvature in reversed(self._history):
            inverse = torch.where(curvature > 0, 1 / curvature, 0.0)
            inverse = torch.where(torch.isfinite(inverse), inverse, 0.0)
            alpha = inverse * (change * result).sum(dim=(2, 3))
            result -= alpha[:, :, None, None] * turn
            kept.append((change, turn, inverse, alpha))
        result *= self._metric
        if self._history:
            _, turn, curvature = self._history[-1]
            scale = curvature / (turn.square() * self._metric).sum(dim=(2, 3))
            usable = torch.isfinite(scale) & (scale > 0)
            result *= torch.where(usable, scale, 1.0)[:, :, None, None]
        for change, turn, inverse, alpha in reversed(kept):
            beta = inverse * (turn * result).sum(dim=(2, 3))
            result += (alpha - beta)[:, :, None, None] * change
        return result

    def _keep(self, alive: "torch.Tensor", running: "torch.Tensor") -> "torch.Tensor":
        """Take the models that are done out of the arrays; `running` of those that stay."""
        self._result[self._place[~alive]] = self._now[~alive]
        for name in (
            *("_inputs", "_weights", "_labels", "_closed", "_penalty", "_tolerance", "_now"),
            *("_metric", "_objective", "_gradient", "_place"),
        ):
            setattr(self, name, getattr(self, name)[alive])
        self._history = [(a[alive], b[alive], c[alive]) for a, b, c in self._history]
        return running[alive]
