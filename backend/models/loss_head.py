"""A head that predicts how wrong the model will be: loss prediction on frozen embeddings.

Yoo and Kweon 2019 (arXiv 1905.03677), section 3.3: of each pair of examples the one with the
larger loss must get the larger prediction, by a margin of 1. Two things differ, because the encoder
is frozen. The inputs are the embedding and the model's own sorted probabilities in place of
intermediate feature maps; and the losses to learn from are out-of-fold ones, for the head's losses
on its own training examples are near zero and say little of an unlabelled item.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.models.centring import CentredInputs, norms
from backend.models.head import Head, checked, folds_of, softmax
from backend.models.softmax_regression import SoftmaxProblems, one_thread

LEAST_LABELS = 50
# The most probable classes whose probabilities are inputs, most probable first.
TOP_CLASSES = 3
_HIDDEN = 64
_MARGIN = 1.0
_STEPS = 600
_PAIRS = 128
_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 1e-2
_BLOCK = 16_384


@dataclass(frozen=True)
class LossHead:
    """One hidden layer of ReLUs: (d + TOP_CLASSES) inputs to one predicted loss, of no unit.

    `hidden` (h, d + TOP_CLASSES), `hidden_bias` (h,), `output` (h,) and `centre` (d,) float32.
    """

    centre: NDArray[np.float32]
    hidden: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    output: NDArray[np.float32]

    def predict(
        self, embeddings: NDArray[np.floating], probabilities: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """(n,) float64, higher = a larger loss, of embeddings (n, d) and probabilities (n, c)."""
        result = np.empty(len(embeddings), dtype=np.float64)
        for start in range(0, len(embeddings), _BLOCK):
            rows = slice(start, start + _BLOCK)
            inputs = _inputs(embeddings[rows], probabilities[rows], self.centre)
            active = np.maximum(inputs @ self.hidden.T + self.hidden_bias, 0)
            result[rows] = active @ self.output
        return result


def train_loss_head(
    embeddings: NDArray[np.floating],
    labels: NDArray[np.integer],
    head: Head,
    *,
    seed: int,
) -> LossHead | None:
    """The loss head for `head`, which was trained on the same (m, d) embeddings and (m,) labels.

    None with fewer than 50 labels, or fewer than two classes of two labels: nothing to learn from.
    """
    values, targets, importance = checked(embeddings, labels, head.classes, None)
    if len(targets) < LEAST_LABELS or (head.counts >= 2).sum() < 2:
        return None
    with one_thread():
        losses, probabilities, known = _out_of_fold(values, targets, importance, head, seed)
        if known.sum() < LEAST_LABELS:
            return None
        centre = (values / norms(values)).mean(axis=0)
        inputs = _inputs(values[known], probabilities[known], centre)
        return _fitted(inputs, losses[known], centre, seed)


def _out_of_fold(
    values: NDArray[np.float32],
    targets: NDArray[np.int64],
    importance: NDArray[np.float64],
    head: Head,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.bool_]]:
    """Loss (m,) and probabilities (m, s) of each example by the head that did not see it.

    The last array (m,) says which examples some fold held out.
    """
    material = CentredInputs.of(values, importance)
    seen = np.flatnonzero(head.counts)
    compact = np.searchsorted(seen, targets)
    held_out = folds_of(compact, seed)
    problems = SoftmaxProblems(
        material.inputs, compact, len(seen), np.where(held_out, 0.0, importance), double=False
    )
    parameters = problems.solve(head.penalty, tolerance=max(head.penalty / 10, 3e-6)).parameters
    fold = held_out.argmax(axis=0)
    own = parameters[fold]
    scores = np.einsum("mcr,mr->mc", own[:, :, :-1], material.inputs) + own[:, :, -1]
    probabilities = softmax(scores.astype(np.float32))
    chosen = probabilities[np.arange(len(compact)), compact].astype(np.float64)
    known: NDArray[np.bool_] = np.any(held_out, axis=0)
    return -np.log(np.maximum(chosen, 1e-12)), probabilities, known


def _inputs(
    embeddings: NDArray[np.floating],
    probabilities: NDArray[np.floating],
    centre: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(n, d + TOP_CLASSES): centred unit embeddings, then the highest probabilities in order."""
    values = np.asarray(embeddings, dtype=np.float32)
    highest = -np.sort(-np.asarray(probabilities, dtype=np.float32), axis=1)[:, :TOP_CLASSES]
    padded = np.zeros((len(values), TOP_CLASSES), dtype=np.float32)
    padded[:, : highest.shape[1]] = highest
    return np.concatenate([values / norms(values) - centre, padded], axis=1)


def _fitted(
    inputs: NDArray[np.float32],
    losses: NDArray[np.float64],
    centre: NDArray[np.float32],
    seed: int,
) -> LossHead:
    """Minimise the mean of max(0, 1 - sign(l_i - l_j)(f_i - f_j)) over random pairs, by AdamW."""
    import torch

    draws = torch.Generator().manual_seed(seed)
    width = inputs.shape[1]
    x = torch.from_numpy(inputs)
    true = torch.from_numpy(losses)
    hidden = torch.randn(_HIDDEN, width, generator=draws) / width**0.5
    output = torch.randn(_HIDDEN, generator=draws) / _HIDDEN**0.5
    parameters = [hidden, torch.zeros(_HIDDEN), output]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    for _ in range(_STEPS):
        pairs = torch.randint(len(x), (2, _PAIRS), generator=draws)
        scores = torch.relu(x[pairs] @ parameters[0].T + parameters[1]) @ parameters[2]
        order = torch.sign(true[pairs[0]] - true[pairs[1]])
        ranking = torch.relu(_MARGIN - order * (scores[0] - scores[1]))
        loss = (ranking * (order != 0)).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    trained = [parameter.detach().numpy() for parameter in parameters]
    return LossHead(centre, trained[0], trained[1], trained[2])
