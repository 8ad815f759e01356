"""Temperature scaling: probabilities that mean what they say.

Guo et al. 2017 (arXiv 1706.04599), sections 2 and 4.
"""

import numpy as np
from numpy.typing import NDArray

LEAST_TEMPERATURE, GREATEST_TEMPERATURE = 0.05, 20.0
LEAST_LABELS = 10
# Prior on log T: normal around 0 with this deviation, worth about 1 / deviation^2 = 4 labels.
_LOG_DEVIATION = 0.5


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The T in 0.05..20 that makes softmax(logits / T) fit the labels; 1.0 under ten labels.

    `logits` (n, c), `labels` (n,) in 0..c-1, of examples that the head was not trained on.
    Minimises the summed negative log likelihood + (log T)^2 / (2 * 0.5^2), so that few labels
    move T little. Raises ValueError for shapes that do not fit.
    """
    values = np.asarray(logits, dtype=np.float64)
    targets = np.asarray(labels, dtype=np.int64)
    if values.ndim != 2 or targets.shape != (len(values),):
        raise ValueError(f"logits {values.shape} and labels {targets.shape} do not fit")
    if len(values) < LEAST_LABELS:
        return 1.0
    values = values - values.max(axis=1, keepdims=True)
    chosen = values[np.arange(len(values)), targets]

    def cost(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)
        normaliser = np.log(np.exp(values / temperature).sum(axis=1))
        prior = log_temperature**2 / (2 * _LOG_DEVIATION**2)
        return float((normaliser - chosen / temperature).sum() + prior)

    # The cost may have several minima in log T: a grid finds the right one, thirds refine it.
    grid = np.linspace(np.log(LEAST_TEMPERATURE), np.log(GREATEST_TEMPERATURE), 121)
    best = int(np.argmin([cost(point) for point in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    for _ in range(40):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if cost(left) <= cost(right) else (left, high)
    temperature = float(np.exp((low + high) / 2))
    return min(max(temperature, LEAST_TEMPERATURE), GREATEST_TEMPERATURE)


def expected_calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], bins: int = 15
) -> float:
    """Mean |confidence - accuracy| over equally wide confidence bins, weighted by their size.

    `probabilities` (n, c), n >= 1, `labels` (n,); the result lies in 0..1.
    Raises ValueError for no examples or shapes that do not fit.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    targets = np.asarray(labels)
    if values.ndim != 2 or len(values) == 0 or targets.shape != (len(values),):
        raise ValueError(f"probabilities {values.shape} and labels {targets.shape} do not fit")
    confidence = values.max(axis=1)
    correct = values.argmax(axis=1) == targets
    # Bins are (low, high]: a confidence of exactly 1 belongs to the last one.
    of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(of, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(values))
