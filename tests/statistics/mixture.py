"""Two Gaussian classes and a logistic head on them: every accuracy is known exactly."""

import math

import numpy as np

ERF = np.vectorize(math.erf, otypes=[float])


def normal_below(x):
    return (1 + ERF(np.asarray(x) / math.sqrt(2))) / 2


class Mixture:
    """Class 1 with probability `positive` around +shift, class 0 around -shift, unit noise.

    The shift is along the first of `dimensions` axes, so that a head has noise to fit.
    """

    def __init__(self, shift=1.0, positive=0.3, dimensions=10):
        self.mean = np.zeros(dimensions)
        self.mean[0] = shift
        self.positive = positive

    def draw(self, rng, *shape):
        """Inputs (*shape, d) and their classes (*shape), 0 or 1."""
        classes = (rng.random(shape) < self.positive).astype(int)
        inputs = rng.standard_normal((*shape, len(self.mean)))
        return inputs + (2 * classes - 1)[..., None] * self.mean, classes

    def accuracy(self, heads):
        """The exact accuracy of heads (..., d + 1), bias last."""
        slope, bias = heads[..., :-1], heads[..., -1]
        length = np.linalg.norm(slope, axis=-1) + 1e-12
        along = slope @ self.mean
        right = normal_below((along + bias) / length)
        return self.positive * right + (1 - self.positive) * normal_below((along - bias) / length)


def train(inputs, classes, penalty=0.02, steps=8):
    """Logistic heads (k, d + 1) on k training sets (k, m, d) and (k, m), by Newton's method.

    Mean cross-entropy + penalty·|w|², the bias free.
    """
    x = np.concatenate([inputs, np.ones((*inputs.shape[:-1], 1))], axis=-1)
    k, m, d = x.shape
    ridge = np.full(d, 2 * penalty)
    ridge[-1] = 1e-4  # a set of one class has no finite bias
    heads = np.zeros((k, d))
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip((x @ heads[..., None])[..., 0], -30, 30)))
        slope = ((p - classes)[:, None, :] @ x)[:, 0] / m + ridge * heads
        curvature = (x * (p * (1 - p))[..., None]).transpose(0, 2, 1) @ x / m + np.diag(ridge)
        heads = heads - np.linalg.solve(curvature, slope[..., None])[..., 0]
    return heads


def scores(heads, inputs):
    """Log odds (k, n) of heads (k, d + 1) on inputs (n, d)."""
    return heads[:, :-1] @ inputs.T + heads[:, -1:]


def hits(heads, inputs, classes):
    """Whether each head (k) is right on each input: (k, n)."""
    return (scores(heads, inputs) > 0) == (classes == 1)
