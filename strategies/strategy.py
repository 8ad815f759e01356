"""One strategy: its function, what the function needs, and the call that checks both sides."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from strategies.arrays import Indices, Scores
from strategies.boosts import boosted
from strategies.errors import (
    GrammarError,
    MissingInputError,
    NoScoreError,
    StrategyError,
    suggestion,
)
from strategies.parameters import Parameter, Signature, read_signature
from strategies.picks import Picks
from strategies.pool import MODEL_FIELDS, Pool
from strategies.ranking import best_first

POOL_FIELDS = frozenset(field.name for field in dataclasses.fields(Pool)) - {
    "size",
    "excluded",
    "pinned",
}


@dataclass(frozen=True)
class Strategy:
    """One strategy: a function that scores every item or one that selects a batch, and its source.

    name       as it stands in a specification
    citation   the paper that defined it
    scoring    function of pool fields and parameters that gives (n,) float64, or None
    selecting  function of pool fields, eligible, size, rng and parameters that gives (size,)
               int64 pool indices, best first (or Picks, with what decided them), or None where
               the highest scores are the batch
    small_pool_only  True where time or memory forbids pools of a million

    The functions' own signatures say what they need (see read_signature).
    """

    name: str
    citation: str
    scoring: Callable[..., Scores] | None = None
    selecting: Callable[..., Indices | Picks] | None = None
    small_pool_only: bool = False

    @cached_property
    def _signatures(self) -> tuple[Signature, ...]:
        functions = [f for f in (self.selecting, self.scoring) if f is not None]
        return tuple(read_signature(function, POOL_FIELDS) for function in functions)

    @property
    def has_score(self) -> bool:
        """Whether `score` gives one number an item."""
        return self.scoring is not None

    @property
    def needs(self) -> frozenset[str]:
        """The fields of the pool that must be there."""
        return frozenset().union(*(signature.needs for signature in self._signatures))

    @property
    def uses(self) -> frozenset[str]:
        """The fields of the pool that it reads, those that may be absent included."""
        return self.needs.union(*(signature.uses for signature in self._signatures))

    @property
    def needs_model(self) -> bool:
        """Whether a field that only a trained model can supply must be there."""
        return bool(self.needs & MODEL_FIELDS)

    @property
    def random(self) -> bool:
        """Whether its picks depend on the random generator beyond the order of equal scores."""
        return any("rng" in signature.selection_arguments for signature in self._signatures)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The parameters by name."""
        return {p.name: p for signature in self._signatures for p in signature.parameters}

    def accepted(self, given: Mapping[str, object], path: str) -> dict[str, Any]:
        """The given parameters, checked; raises GrammarError at `path`.name for a wrong one."""
        accepted = {}
        for name, value in given.items():
            where = f"{path}.{name}"
            if name not in self.parameters:
                hint = suggestion(name, self.parameters, "parameters")
                raise GrammarError(where, f"{self.name} has no parameter {name!r}; {hint}")
            try:
                accepted[name] = self.parameters[name].accepted(value)
            except ValueError as error:
                raise GrammarError(where, str(error)) from None
        return accepted

    def check(self, pool: Pool) -> None:
        """Raise MissingInputError for the first field that is needed and absent."""
        for field in sorted(self.needs):
            if getattr(pool, field) is None:
                raise MissingInputError(self.name, field)

    def score(
        self, pool: Pool, rng: np.random.Generator | None, parameters: Mapping[str, Any]
    ) -> Scores:
        """One score an item, higher = label sooner: (n,) float64."""
        if self.scoring is None:
            raise NoScoreError(self.name)
        self.check(pool)
        scores: Scores = self._call(self.scoring, pool, 0, rng, parameters)
        if scores.shape != (pool.n,) or scores.dtype != np.float64 or np.isnan(scores).any():
            raise StrategyError(f"{self.name} broke its contract: (n,) float64 scores without NaN")
        return scores

    def pick(
        self,
        pool: Pool,
        size: int,
        rng: np.random.Generator | None,
        parameters: Mapping[str, Any],
    ) -> tuple[Picks, Scores]:
        """The batch, best first, and its scores (NaN where the strategy only selects).

        Boosts (`Pool.weights`) move the picks; a strategy that reads the weights itself does so
        in its own way.
        """
        self.check(pool)
        size = min(size, len(pool.eligible))
        if size == 0:
            return Picks(np.empty(0, dtype=np.int64)), np.empty(0, dtype=np.float64)
        scores = self.score(pool, rng, parameters) if self.scoring is not None else None
        if "weights" in self.uses or pool.weights is None:
            picks = self._picked(pool, size, rng, parameters, scores)
        else:
            picks = boosted(
                lambda among, count: self._picked(among, count, rng, parameters, scores),
                pool,
                size,
                whole=self.selecting is None,
            )
        return picks, np.full(size, np.nan) if scores is None else scores[picks.indices]

    def _picked(
        self,
        pool: Pool,
        size: int,
        rng: np.random.Generator | None,
        parameters: Mapping[str, Any],
        scores: Scores | None,
    ) -> Picks:
        if self.selecting is None:
            assert scores is not None
            return Picks(best_first(scores, pool.eligible, size, rng))
        found = self._call(self.selecting, pool, size, rng, parameters)
        picks: Picks = found if isinstance(found, Picks) else Picks(found)
        self._check_picks(picks, pool, size)
        return picks

    def _call(
        self,
        function: Callable[..., Any],
        pool: Pool,
        size: int,
        rng: np.random.Generator | None,
        parameters: Mapping[str, Any],
    ) -> Any:
        signature = read_signature(function, POOL_FIELDS)
        arguments = {field: getattr(pool, field) for field in signature.needs | signature.uses}
        if "rng" in signature.selection_arguments:
            if rng is None:
                mend = "pass rng=np.random.default_rng(seed)"
                raise MissingInputError(self.name, "a random generator", mend)
            arguments["rng"] = rng
        if "eligible" in signature.selection_arguments:
            arguments["eligible"] = pool.eligible
        if "size" in signature.selection_arguments:
            arguments["size"] = size
        taken = {p.name for p in signature.parameters}
        own = {name: value for name, value in parameters.items() if name in taken}
        return function(**arguments, **own)

    def _check_picks(self, picks: Picks, pool: Pool, size: int) -> None:
        indices = picks.indices
        chosen = np.zeros(pool.n, dtype=np.bool_)
        if (
            indices.shape == (size,)
            and indices.dtype == np.int64
            and all(len(values) == size for values in picks.details.values())
        ):
            chosen[indices] = True
            if np.count_nonzero(chosen) == size and chosen[pool.eligible].sum() == size:
                return
        raise StrategyError(
            f"{self.name} broke its contract: it must give {size} distinct int64 indices of "
            "items that are not excluded, and one value of each detail for each of them"
        )


@dataclass(frozen=True)
class Configured:
    """A strategy with the parameters that it is called with."""

    strategy: Strategy
    parameters: Mapping[str, Any]


def check_size(size: int) -> None:
    """Raise StrategyError unless `size` is a whole number >= 0."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 0:
        raise StrategyError(f"size is {size!r}; it must be a whole number >= 0")


def check_rng(rng: np.random.Generator | None) -> None:
    """Raise StrategyError unless `rng` is a Generator or None."""
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise StrategyError(f"rng is {rng!r}; pass np.random.default_rng(seed)")
