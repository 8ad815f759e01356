"""Power noise: a batch drawn by chance in proportion to a score, not the highest scores alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from strategies.combining.leaf import random_leaf
from strategies.combining.specification import Selection, Specification
from strategies.errors import MissingInputError
from strategies.picks import INCLUSION_PROBABILITY
from strategies.pool import Pool
from strategies.random_sampling.gumbel import Noise, draw, log_weights
from strategies.strategy import Configured

NOISES: tuple[str, ...] = get_args(Noise)


@dataclass(frozen=True)
class Power(Specification):
    """The `size` items with the highest log w_i + g_i, g_i ~ Gumbel(0, 1) independent.

    That is sampling without replacement, one after another, in proportion to w_i (times the
    item's boost), where

        power     w_i = s_i ^ beta, for scores s_i >= 0
        softmax   w_i = exp(beta s_i)
        softrank  w_i = r_i ^ -beta, r_i the rank by score, 1 for the highest; any scores

    The detail `inclusion_probability` is that of the item given the highest perturbed value that
    was not picked (`draw` in strategies/random_sampling/gumbel.py): weighing each pick by its
    inverse gives unbiased totals of the pool, and needs nothing else.

    Source: Kirsch et al., Stochastic Batch Acquisition, TMLR 2023 (arXiv 2106.12059), table 1.
    """

    member: Specification
    beta: float = 1.0
    noise: Noise = "power"

    @property
    def name(self) -> str:
        return f"{self.noise}({self.member.name})"

    def leaves(self) -> Iterator[Configured]:
        yield from self.member.leaves()

    def to_json(self) -> Any:
        content: dict[str, Any] = {"beta": self.beta, "of": self.member.to_json()}
        if self.noise != "power":
            content["noise"] = self.noise
        return {"power": content}

    def without(self, absent: frozenset[str]) -> Specification:
        return random_leaf() if self.needs & absent else self

    def pick(self, pool: Pool, size: int, rng: np.random.Generator | None) -> Selection:
        if rng is None:
            mend = "pass rng=np.random.default_rng(seed)"
            raise MissingInputError(self.name, "a random generator", mend)
        scores = self.member.score(pool, rng)
        eligible = pool.eligible
        boosts = None if pool.weights is None else pool.weights[eligible]
        weights = log_weights(scores[eligible], self.beta, self.noise, boosts, self.member.name)
        picked, probability = draw(weights, size, rng)
        indices = eligible[picked]
        return Selection(
            indices,
            (self.name,) * size,
            scores[indices],
            tuple({INCLUSION_PROBABILITY: float(value)} for value in probability),
        )
