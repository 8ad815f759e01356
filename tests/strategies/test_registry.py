"""How the registry reads a strategy's function, and how it guards the contract."""

from typing import Annotated, Any, Literal

import numpy as np
import pytest

from strategies import GrammarError, MissingInputError, Pool, StrategyError, names, score, select
from strategies.arrays import Floats, Indices, Scores
from strategies.parameters import Interval
from strategies.registry import Strategy


def example(
    probabilities: Floats,
    embeddings: Floats | None = None,
    *,
    bandwidth: Annotated[float, Interval(above=0, most=10)] = 1.0,
    count: Annotated[int | None, Interval(least=1)] = None,
    kind: Literal["a", "b"] = "a",
    centre: bool = True,
    columns: tuple[str, ...] = (),
) -> Scores:
    del embeddings, count, kind, centre, columns
    return probabilities[:, 0] * bandwidth


EXAMPLE = Strategy("example", "nobody 2000", scoring=example)


def test_lists_the_strategies() -> None:
    assert set(names()) >= {"entropy", "margin", "least_confidence", "k_center", "random"}


def test_a_signature_says_what_a_strategy_needs() -> None:
    assert EXAMPLE.needs == {"probabilities"}
    assert EXAMPLE.uses == {"probabilities", "embeddings"}
    assert EXAMPLE.needs_model
    assert not EXAMPLE.random
    assert {name: p.default for name, p in EXAMPLE.parameters.items()} == {
        "bandwidth": 1.0,
        "count": None,
        "kind": "a",
        "centre": True,
        "columns": (),
    }


def test_parameters_reach_the_function() -> None:
    pool = Pool(probabilities=np.array([[0.5, 0.5]]))
    accepted = EXAMPLE.accepted({"bandwidth": 2, "columns": ["site"], "count": None}, "example")
    assert accepted == {"bandwidth": 2.0, "columns": ("site",), "count": None}
    assert EXAMPLE.score(pool, None, accepted).tolist() == [1.0]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bandwidth", 0, "0 must be greater than 0 and at most 10"),
        ("bandwidth", 11, "11 must be greater than 0 and at most 10"),
        ("bandwidth", "1", "'1' must be a finite number"),
        ("bandwidth", float("nan"), "nan must be a finite number"),
        ("bandwidth", 10**400, "bandwidth is too large for a number"),
        ("bandwidth", True, "True must be a finite number"),
        ("count", 0, "0 must be at least 1"),
        ("count", 1.5, "1.5 must be a whole number"),
        ("kind", "c", "'c' must be one of 'a', 'b'"),
        ("kind", ["a"], "['a'] must be one of 'a', 'b'"),
        ("centre", 1, "1 must be true or false"),
        ("columns", "site", "'site' must be a list"),
        ("columns", [3], "3 must be a text"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_was_expected(
    name: str, value: Any, message: str
) -> None:
    with pytest.raises(GrammarError) as caught:
        EXAMPLE.accepted({name: value}, "example")
    assert caught.value.path == f"example.{name}"
    assert caught.value.message == message


def test_unknown_names_are_refused_with_the_nearest() -> None:
    pool = Pool(size=1)
    with pytest.raises(GrammarError, match="did you mean 'margin'"):
        score("Margin", pool)
    with pytest.raises(GrammarError, match="did you mean 'metric'") as caught:
        select("k_center", pool, 1, metrics="cosine")
    assert caught.value.path == "k_center.metrics"


def test_random_asks_for_a_generator() -> None:
    with pytest.raises(MissingInputError, match=r"^random needs a random generator; pass rng="):
        select("random", Pool(size=3), 1)


def takes_something_else(probabilitys: Floats) -> Scores:
    return probabilitys[:, 0]


def lacks_a_default(probabilities: Floats, *, bandwidth: float) -> Scores:
    return probabilities[:, 0] * bandwidth


def takes_keep(probabilities: Floats, *, keep: int = 2) -> Scores:
    return probabilities[:, 0] * keep


@pytest.mark.parametrize("function", [takes_something_else, lacks_a_default, takes_keep])
def test_a_function_that_cannot_be_called_is_its_authors_mistake(function: Any) -> None:
    with pytest.raises(TypeError, match=function.__name__):
        Strategy("wrong", "nobody 2000", scoring=function).parameters  # noqa: B018


@pytest.mark.parametrize(
    "picks",
    [
        np.array([1, 1]),
        np.array([0, 1]),
        np.array([1, 2, 3]),
        np.array([1]),
        np.array([1.0, 2.0]),
    ],
)
def test_picks_that_break_the_contract_do_not_get_out(picks: np.ndarray) -> None:
    def wrong(eligible: Indices) -> Indices:
        del eligible
        return picks

    pool = Pool(size=4, excluded=np.array([True, False, False, False]))
    with pytest.raises(StrategyError, match="wrong broke its contract"):
        Strategy("wrong", "nobody 2000", selecting=wrong).pick(pool, 2, None, {})


@pytest.mark.parametrize("scores", [np.zeros(3), np.zeros(4, np.float32), np.full(4, np.nan)])
def test_scores_that_break_the_contract_do_not_get_out(scores: np.ndarray) -> None:
    def wrong(weights: Floats) -> Scores:
        del weights
        return scores

    with pytest.raises(StrategyError, match="wrong broke its contract"):
        Strategy("wrong", "nobody 2000", scoring=wrong).score(Pool(weights=np.ones(4)), None, {})
