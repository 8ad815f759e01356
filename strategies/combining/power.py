"""Power noise: a batch drawn by chance in proportion to a score, not the highest scores alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from strategies.arrays import Scores
from strategies.combining.leaf import random_leaf
from strategies.combining.specification import Selection, Specification
from strategies.errors import MissingInputError, StrategyError
from strategies.picks import INCLUSION_PROBABILITY
from strategies.pool import Pool
from strategies.strategy import Strategy

NOISES = ("power", "softmax", "softrank")


@dataclass(frozen=True)
class Power(Specification):
    """The `size` items with the highest log w_i + g_i, g_i ~ Gumbel(0, 1) independent.

    That is sampling without replacement, one after another, in proportion to w_i (times the
    item's boost), where

        power     w_i = s_i ^ beta, for scores s_i >= 0
        softmax   w_i = exp(beta s_i)
        softrank  w_i = r_i ^ -beta, r_i the rank by score, 1 for the highest; any scores

    The detail `inclusion_probability` is that of the item given the threshold t, the highest
    perturbed value that was not picked: 1 - exp(-w_i e^-t). Weighing each pick by its inverse
    gives unbiased totals of the pool, and no pick depends on knowing more.

    Source: Kirsch et al., Stochastic Batch Acquisition, TMLR 2023 (arXiv 2106.12059), table 1; the
    probabilities: Kool, van Hoof and Welling, Stochastic Beams, ICML 2019 (arXiv 1903.06059),
    section 4.1; Duffield, Lund and Thorup, Priority sampling, JACM 2007.
    """

    member: Specification
    beta: float = 1.0
    noise: Literal["power", "softmax", "softrank"] = "power"

    @property
    def name(self) -> str:
        return f"{self.noise}({self.member.name})"

    @property
    def has_score(self) -> bool:
        return False

    def strategies(self) -> Iterator[Strategy]:
        yield from self.member.strategies()

    def to_json(self) -> Any:
        content: dict[str, Any] = {"beta": self.beta, "of": self.member.to_json()}
        if self.noise != "power":
            content["noise"] = self.noise
        return {"power": content}

    def without_model(self) -> Specification:
        return random_leaf() if self.needs_model else self

    def pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        if rng is None:
            mend = "pass rng=np.random.default_rng(seed)"
            raise MissingInputError(self.name, "a random generator", mend)
        scores = self.member.score(pool, rng)
        eligible = pool.eligible
        weights = self._log_weights(scores[eligible])
        if pool.weights is not None:
            with np.errstate(divide="ignore"):
                weights = weights + np.log(pool.weights[eligible].astype(np.float64))
        # Weight 0 comes after every other, in random order among themselves.
        noise = rng.gumbel(size=len(eligible))
        order = np.lexsort((-noise, -(weights + noise)))
        picked = order[:size]
        threshold = -np.inf
        if size < len(order):
            threshold = float((weights + noise)[order[size]])
        # Where everything of weight above 0 is taken, it was certain, and the rest was filled up.
        with np.errstate(over="ignore"):
            probability = -np.expm1(-np.exp(weights[picked] - threshold))
        if np.isneginf(threshold):
            filled = np.isneginf(weights[picked])
            empty = int(np.isneginf(weights).sum())
            probability = np.where(filled, filled.sum() / max(1, empty), 1.0)
        indices = eligible[picked]
        return Selection(
            indices,
            (self.name,) * size,
            scores[indices],
            tuple({INCLUSION_PROBABILITY: float(value)} for value in probability),
        )

    def _log_weights(self, scores: Scores) -> Scores:
        if self.noise == "softmax":
            return self.beta * scores
        if self.noise == "softrank":
            below = np.sort(-scores)
            ranks = np.searchsorted(below, -scores, side="left").astype(np.float64) + 1.0
            lower: Scores = -self.beta * np.log(ranks)
            return lower
        if scores.min(initial=0.0) < 0.0:
            raise StrategyError(
                f"power noise needs scores of at least 0, and {self.member.name} gives "
                f'{scores.min():g}; use "noise": "softrank", which takes any scores'
            )
        with np.errstate(divide="ignore"):
            logarithms: Scores = self.beta * np.log(scores)
        return logarithms
