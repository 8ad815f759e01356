"""Several heads that disagree where the labels leave room: for the strategies that need members.

All members are one batched computation, in training as in prediction: they share the inputs, so
that ten cost far less than ten heads would.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.models.centring import CentredInputs, norms
from backend.models.head import Head, checked
from backend.models.softmax_regression import SoftmaxProblems, one_thread

Kind = Literal["bootstrap", "dropout"]
DROPOUT = 0.5
# Members need not be exact: what they differ by is far larger.
_TOLERANCE = 1e-4
_BLOCK = 8_192


@dataclass(frozen=True)
class Ensemble:
    """k heads over the classes of one: `weights` (k, c, d) and `bias` (k, c) float32.

    They act on L2-normalised embeddings, as `Head`'s do, and treat a class without labels alike.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.weights)

    def probabilities(
        self, embeddings: NDArray[np.floating], temperature: float = 1.0
    ) -> NDArray[np.float32]:
        """(k, n, c) float32 class probabilities of each member for embeddings (n, d)."""
        members, classes, dimension = self.weights.shape
        seen = np.flatnonzero(self.counts)
        total = int(self.counts.sum()) + classes
        result = np.empty((members, len(embeddings), classes), dtype=np.float32)
        # Laplace's rule for classes without labels, as in `Head.logits`, before the temperature.
        unseen = np.float32(total ** (-1.0 / temperature))
        rest = np.float32(((total - classes + len(seen)) / total) ** (1.0 / temperature))
        stacked = self.weights[:, seen].reshape(-1, dimension)
        if not len(seen):
            return np.full_like(result, 1 / classes)
        for start in range(0, len(embeddings), _BLOCK):
            block = np.asarray(embeddings[start : start + _BLOCK], dtype=np.float32)
            scores = (block @ stacked.T) / norms(block)
            scores = scores.reshape(len(block), members, len(seen)).transpose(1, 0, 2)
            scores = scores + self.bias[:, None, seen]
            scores -= scores.max(axis=2, keepdims=True, initial=-np.inf)
            scores -= np.log(np.exp(scores).sum(axis=2, keepdims=True))
            scores = np.exp(scores / np.float32(temperature)) * rest
            part = np.full((members, len(block), classes), unseen, dtype=np.float32)
            part[:, :, seen] = scores
            part /= part.sum(axis=2, keepdims=True)
            result[:, start : start + _BLOCK] = part
        return result


def train_ensemble(
    embeddings: NDArray[np.floating],
    labels: NDArray[np.integer],
    classes: Sequence[str],
    *,
    head: Head,
    members: int,
    kind: Kind,
    seed: int,
) -> Ensemble:
    """`members` heads around `head`, which was trained on the same (m, d) embeddings and labels.

    bootstrap  each minimises the head's objective, its penalty included, with the examples
               weighted by independent Exponential(1) numbers: the Bayesian bootstrap, in which no
               class ever loses its only example (Rubin 1981, Annals of Statistics 9:1)
    dropout    each is `head` with half of its centred inputs dropped and the others doubled, one
               mask a member for the whole pool, so that a member is one function (Gal and
               Ghahramani 2016, arXiv 1506.02142; consistent masks: Kirsch et al. 2019, arXiv
               1906.08158, section 4)

    With fewer than two labelled classes all members are the head. Raises ValueError as the head.
    """
    values, targets, importance = checked(embeddings, labels, tuple(classes), None)
    weights = np.repeat(head.weights[None], members, axis=0)
    bias = np.repeat(head.bias[None], members, axis=0)
    seen = np.flatnonzero(head.counts)
    rng = np.random.default_rng((seed, members))
    if len(seen) >= 2 and kind == "dropout":
        unit = values / norms(values)
        centre = unit.mean(axis=0)
        kept = (rng.random((members, 1, values.shape[1])) >= DROPOUT) / np.float32(1 - DROPOUT)
        weights = (weights * kept).astype(np.float32)
        # Scores at the centre stay as they are: only what lies beside it is dropped.
        bias[:, seen] += ((head.weights[None] - weights) @ centre)[:, seen]
    elif len(seen) >= 2:
        with one_thread():
            material = CentredInputs.of(values, importance)
            start = material.unfolded(head.weights[seen], head.bias[seen])
            problems = SoftmaxProblems(
                material.inputs,
                np.searchsorted(seen, targets),
                len(seen),
                rng.exponential(size=(members, len(targets))),
                double=False,
            )
            starts = np.repeat(start[None], members, axis=0)
            found = problems.solve(head.penalty, starts, tolerance=_TOLERANCE).parameters
        weights[:, seen], bias[:, seen] = material.folded(found)
    return Ensemble(weights, bias, head.counts)
