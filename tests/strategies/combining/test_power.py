"""Power noise: draws in proportion to a power of a score, with what each pick stands for."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from strategies import GrammarError, MissingInputError, Pool, StrategyError, parse, score
from strategies.random_sampling.gumbel import draw, log_weights

SCORES = np.array([0.5, 0.25, 0.125, 0.125, 0.0])
POWER = {"power": {"of": "predicted_loss"}}


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pool_of(scores: np.ndarray, **fields: np.ndarray) -> Pool:
    return Pool(predicted_loss=scores, **fields)


def order_probabilities(weights: np.ndarray, size: int) -> dict[tuple[int, ...], float]:
    """The chance of every ordered draw, one after another in proportion to what is left."""
    chances = {}
    for order in itertools.permutations(range(len(weights)), size):
        chance, left = 1.0, float(weights.sum())
        for item in order:
            chance *= weights[item] / left if left > 0 else 0.0
            left -= weights[item]
        chances[order] = chance
    return chances


def assert_drawn_with(
    spec: object, pool: Pool, size: int, weights: np.ndarray, draws: int = 4000
) -> None:
    parsed, rng = parse(spec), seeded()
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(draws):
        picks = tuple(parsed.select(pool, size, rng).tolist())
        counts[picks] = counts.get(picks, 0) + 1
    expected = order_probabilities(weights, size)
    assert set(counts) <= {order for order, chance in expected.items() if chance > 0.0}
    for order, chance in expected.items():
        deviation = np.sqrt(draws * chance * (1.0 - chance))
        assert abs(counts.get(order, 0) - draws * chance) <= 5.0 * deviation + 1.0, order


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ordered_draws_have_the_probabilities_of_drawing_one_after_another(size: int) -> None:
    assert_drawn_with(POWER, pool_of(SCORES), size, SCORES)


def test_beta_raises_the_scores_to_a_power() -> None:
    spec = {"power": {"of": "predicted_loss", "beta": 2.0}}
    assert_drawn_with(spec, pool_of(SCORES), 2, SCORES**2)


def test_softmax_takes_the_exponential_of_scores_of_any_sign() -> None:
    spec = {"power": {"of": "predicted_loss", "beta": 3.0, "noise": "softmax"}}
    assert_drawn_with(spec, pool_of(SCORES - 0.25), 2, np.exp(3.0 * SCORES))


def test_softrank_weighs_by_rank_and_equal_scores_share_the_better_one() -> None:
    spec = {"power": {"of": "predicted_loss", "noise": "softrank"}}
    ranks = np.array([1, 2, 3, 3, 5])
    assert_drawn_with(spec, pool_of(SCORES - 10.0), 2, 1.0 / ranks)


def test_a_boost_multiplies_the_weight() -> None:
    boosts = np.array([1.0, 4.0, 1.0, 0.0, 9.0])
    assert_drawn_with(POWER, pool_of(SCORES, weights=boosts), 2, SCORES * boosts)


def test_only_eligible_items_are_drawn() -> None:
    excluded = np.array([True, False, False, False, False])
    kept = np.where(excluded, 0.0, SCORES)
    assert_drawn_with(POWER, pool_of(SCORES, excluded=excluded), 2, kept)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("noise", ["power", "softmax", "softrank"])
def test_totals_weighed_by_the_inclusion_probabilities_are_unbiased(size: int, noise: str) -> None:
    amounts = np.array([3.0, -1.0, 4.0, 1.0, 5.0])
    scores = np.array([0.5, 0.25, 0.125, 0.125, 0.05])
    parsed = parse({"power": {"of": "predicted_loss", "noise": noise}})
    rng, pool, draws = seeded(), pool_of(scores), 4000
    totals, counts = np.empty(draws), np.empty(draws)
    for i in range(draws):
        selection = parsed.select_with_branches(pool, size, rng)
        chance = np.array([detail["inclusion_probability"] for detail in selection.details])
        assert ((chance > 0.0) & (chance <= 1.0)).all()
        totals[i] = (amounts[selection.indices] / chance).sum()
        counts[i] = (1.0 / chance).sum()
    for values, truth in ((totals, amounts.sum()), (counts, len(amounts))):
        assert abs(values.mean() - truth) < 5.0 * values.std() / np.sqrt(draws)


def test_items_of_weight_0_fill_the_batch_at_random_and_say_so() -> None:
    scores = np.array([1.0, 0.0, 2.0, 0.0, 0.0])
    rng, seen = seeded(), np.zeros(5)
    for _ in range(600):
        selection = parse(POWER).select_with_branches(pool_of(scores), 3, rng)
        assert set(selection.indices[:2]) == {0, 2}
        seen[selection.indices[2]] += 1
        chances = [detail["inclusion_probability"] for detail in selection.details]
        assert_allclose(chances, [1.0, 1.0, 1.0 / 3.0])
    # 600 draws of probability 1/3: standard deviation 11.5.
    assert (np.abs(seen[[1, 3, 4]] - 200) < 58).all()


def test_the_last_of_weight_above_0_is_certain_when_only_weight_0_is_left() -> None:
    selection = parse(POWER).select_with_branches(pool_of(np.array([1.0, 0.0, 2.0])), 2, seeded())
    assert {detail["inclusion_probability"] for detail in selection.details} == {1.0}


@pytest.mark.parametrize("size", [5, 6, 100])
def test_a_batch_of_the_whole_pool_is_certain(size: int) -> None:
    selection = parse(POWER).select_with_branches(pool_of(SCORES), size, seeded())
    assert sorted(selection.indices) == [0, 1, 2, 3, 4]
    assert [detail["inclusion_probability"] for detail in selection.details] == [1.0] * 5


def test_scores_and_branches_are_those_of_the_member() -> None:
    selection = parse(POWER).select_with_branches(pool_of(SCORES), 3, seeded())
    assert selection.branches == ("power(predicted_loss)",) * 3
    assert_array_equal(selection.scores, SCORES[selection.indices])


def test_a_negative_score_needs_another_noise() -> None:
    with pytest.raises(StrategyError, match=r"predicted_loss gives -1.*softrank"):
        parse(POWER).select(pool_of(np.array([1.0, -1.0])), 1, seeded())


def test_needs_a_generator() -> None:
    with pytest.raises(MissingInputError, match="needs a random generator"):
        parse(POWER).select(pool_of(SCORES), 2)


@pytest.mark.parametrize("of", ["random", "batch_bald", {"chain": ["margin"]}])
def test_takes_only_what_has_a_score(of: object) -> None:
    with pytest.raises(GrammarError, match=r"power\.of: .*no score"):
        parse({"power": {"of": of}})


def test_power_of_bald_is_power_bald() -> None:
    members = seeded(1).dirichlet(np.ones(3), size=(4, 30))
    pool = Pool(members=members, weights=seeded(2).random(30))
    combined = parse({"power": {"of": "bald", "beta": 2.0}})
    alone = parse({"power_bald": {"beta": 2.0}})
    first = combined.select_with_branches(pool, 10, seeded(5))
    second = alone.select_with_branches(pool, 10, seeded(5))
    assert_array_equal(first.indices, second.indices)
    assert_array_equal(first.scores, second.scores)
    assert [d["inclusion_probability"] for d in first.details] == [
        d["inclusion_probability"] for d in second.details
    ]
    assert_array_equal(second.scores, score("bald", pool)[second.indices])


def test_extreme_weights_are_drawn_without_overflow() -> None:
    logarithms = log_weights(np.array([1e3, -1e3, 0.0]), 1e5, "softmax", None, "any")
    drawn, chance = draw(logarithms, 2, seeded())
    assert drawn.tolist() == [0, 2]
    assert_allclose(chance, [1.0, 1.0])


def test_no_draws_and_no_items() -> None:
    for logarithms, size in ((np.zeros(3), 0), (np.zeros(0), 2)):
        drawn, chance = draw(logarithms, size, seeded())
        assert len(drawn) == len(chance) == 0
        assert drawn.dtype == np.int64
