"""The inputs of a head: unit length, centred on the labelled examples, on their principal axes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.models.softmax_regression import principal_axes


@dataclass(frozen=True)
class CentredInputs:
    """Labelled examples as a softmax regression takes them, and the way back to embeddings.

    `inputs` (m, r) float32 = (x / |x| - centre) / scale @ axes, with a mean squared norm of 1;
    `centre` (d,), `axes` (d, r).
    """

    inputs: NDArray[np.float32]
    centre: NDArray[np.float32]
    scale: float
    axes: NDArray[np.float64]

    @classmethod
    def of(
        cls, embeddings: NDArray[np.float32], importance: NDArray[np.float64]
    ) -> "CentredInputs":
        """The inputs of embeddings (m, d), centred by their weighted mean; `importance` (m,)."""
        unit = embeddings / norms(embeddings)
        centre = np.average(unit, axis=0, weights=importance).astype(np.float32)
        inputs = unit - centre
        scale = float(np.sqrt(np.average((inputs**2).sum(axis=1), weights=importance))) or 1.0
        inputs /= np.float32(scale)
        axes = principal_axes(inputs)
        return cls(inputs @ axes.astype(np.float32), centre, scale, axes)

    def folded(
        self, parameters: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (..., c, d) and bias (..., c) on unit embeddings, of (..., c, r + 1) numbers."""
        weights = parameters[..., :-1] @ self.axes.T / self.scale
        return weights, parameters[..., -1] - weights @ self.centre

    def unfolded(
        self, weights: NDArray[np.floating], bias: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """The parameters (..., c, r + 1) that give the scores of these weights and biases."""
        exact = np.asarray(weights, dtype=np.float64)
        lifted = bias + exact @ self.centre
        return np.concatenate([exact @ self.axes * self.scale, lifted[..., None]], axis=-1)


def norms(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 1) L2 norms, 1 for zero vectors."""
    found = np.sqrt(np.einsum("ij,ij->i", values, values))[:, None]
    return np.where(found > 0, found, np.float32(1))
