"""Chains, mixes and weighted sums of strategies."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies import MissingInputError, NoScoreError, Pool, parse, score, select
from strategies.apportionment import interleaved, largest_remainder
from strategies.combining.chain import Chain
from strategies.pool import MODEL_FIELDS
from tests.strategies.pools import full_fields, full_pool


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_chain_chooses_among_what_its_first_member_kept() -> None:
    pool = full_pool(200)
    selection = parse({"chain": [{"margin": {"keep": 4}}, "k_center"]}).select_with_branches(
        pool, 5, seeded()
    )
    kept = select("margin", pool, 20, seeded())
    assert_array_equal(selection.indices, select("k_center", pool.restricted_to(kept), 5))
    assert selection.branches == ("margin > k_center",) * 5
    assert np.isnan(selection.scores).all()


def test_a_chain_that_ends_in_a_score_gives_that_score() -> None:
    pool = full_pool(200)
    selection = parse({"chain": ["k_center", "entropy"]}).select_with_branches(pool, 5, seeded())
    kept = select("k_center", pool, 50)
    entropies = score("entropy", pool)
    assert_array_equal(selection.scores, np.sort(entropies[kept])[::-1][:5])
    assert_array_equal(entropies[selection.indices], selection.scores)


def test_keeps_multiply_from_the_last_member_back() -> None:
    spec = {"chain": ["random", {"margin": {"keep": 2.5}}, {"entropy": {"keep": 2}}, "k_center"]}
    chain = parse(spec)
    assert isinstance(chain, Chain)
    assert chain.sizes(3) == [150, 15, 6, 3]
    # 2.5 times 2 is 5; of 3 at 2.5 times, a part of an item counts as one.
    halves = parse({"chain": [{"margin": {"keep": 2.5}}, "k_center"]})
    assert isinstance(halves, Chain)
    assert [halves.sizes(size)[0] for size in (2, 3)] == [5, 8]


def test_a_chain_fills_the_batch_when_the_pool_is_small() -> None:
    excluded = np.arange(10) < 4
    picks = parse({"chain": ["random", "margin"]}).select(full_pool(10, excluded), 8, seeded())
    assert sorted(picks) == [4, 5, 6, 7, 8, 9]


def test_a_mix_takes_each_quota_from_what_the_others_left() -> None:
    pool = full_pool(60)
    spec = {"mix": [{"share": 3, "of": "margin"}, {"share": 1, "of": "least_confidence"}]}
    selection = parse(spec).select_with_branches(pool, 8)
    by_margin = select("margin", pool, 6)
    by_confidence = select("least_confidence", pool.without(by_margin), 2)
    branches = np.array(selection.branches)
    assert_array_equal(selection.indices[branches == "margin"], by_margin)
    assert_array_equal(selection.indices[branches == "least_confidence"], by_confidence)
    assert_allclose(
        selection.scores[branches == "margin"], score("margin", pool)[by_margin], rtol=0
    )


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_every_prefix_of_a_mix_holds_its_shares(shares: list[int], size: int, n: int) -> None:
    labels = ["entropy", "margin", "least_confidence", "k_center", "random"]
    entries = [{"share": s, "of": labels[i]} for i, s in enumerate(shares)]
    selection = parse({"mix": entries}).select_with_branches(full_pool(n), size, seeded())
    filled = min(size, n)
    assert len(set(selection.indices.tolist())) == len(selection.indices) == filled
    quotas = largest_remainder(shares, filled)
    for t in range(filled + 1):
        for branch, quota in zip(labels, quotas, strict=False):
            taken = selection.branches[:t].count(branch)
            assert abs(taken - Fraction(t * quota, max(filled, 1))) < 1


@given(st.lists(st.integers(0, 30), min_size=1, max_size=7))
def test_interleaving_is_as_even_as_any_order_can_promise(counts: list[int]) -> None:
    order = interleaved(counts)
    total, sources = sum(counts), sum(count > 0 for count in counts)
    assert [order.count(i) for i in range(len(counts))] == counts
    bound = Fraction(0) if sources < 2 else 1 - Fraction(1, 2 * sources - 2)
    for t in range(total + 1):
        for i, count in enumerate(counts):
            assert abs(order[:t].count(i) - Fraction(t * count, total or 1)) <= bound


@pytest.mark.parametrize(
    ("shares", "size", "counts"),
    [
        ([0.7, 0.3], 10, [7, 3]),
        ([0.9, 0.1], 5, [5, 0]),
        ([1, 1], 3, [2, 1]),
        ([1, 1, 1], 10, [4, 3, 3]),
        ([5.0, 3.0, 1.0], 100, [56, 33, 11]),
        ([0.1, 0.2, 0.7], 0, [0, 0, 0]),
    ],
)
def test_largest_remainder_by_hand(shares: list[float], size: int, counts: list[int]) -> None:
    assert largest_remainder(shares, size) == counts


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6), st.integers(0, 200))
def test_largest_remainder_stays_within_one_of_the_exact_part(
    shares: list[float], size: int
) -> None:
    counts = largest_remainder(shares, size)
    assert sum(counts) == size
    for count, share in zip(counts, shares, strict=True):
        assert abs(count - size * share / sum(shares)) < 1 + 1e-6


def test_a_weighted_sum_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [1.0, 0.0, 0.0], [0.6, 0.3, 0.1]])
    # Ranks by entropy 1, 3, 0, 2 and by margin 3, 2, 0, 1, each of 3.
    spec = parse({"weight": [{"weight": 2, "of": "entropy"}, {"weight": 1, "of": "margin"}]})
    expected = np.array([5 / 9, 8 / 9, 0.0, 5 / 9])
    assert_allclose(spec.score(Pool(probabilities=probabilities)), expected)
    selection = spec.select_with_branches(Pool(probabilities=probabilities), 2)
    assert selection.indices.tolist() == [1, 0]
    assert selection.branches == ("weight(entropy + margin)",) * 2
    assert_allclose(selection.scores, [8 / 9, 5 / 9])


def test_ranks_count_only_the_eligible_items() -> None:
    probabilities = np.array([[0.5, 0.5], [0.6, 0.4], [0.9, 0.1]])
    pool = Pool(probabilities=probabilities, excluded=np.array([True, False, False]))
    spec = parse({"weight": [{"weight": 1, "of": "margin"}]})
    assert_allclose(spec.score(pool), [0.0, 1.0, 0.0])


def test_combinations_nest() -> None:
    spec = {
        "mix": [
            {
                "share": 0.5,
                "of": {
                    "chain": [
                        {
                            "mix": [{"share": 1, "of": "random"}, {"share": 1, "of": "margin"}],
                            "keep": 3,
                        },
                        {
                            "weight": [
                                {"weight": 1, "of": {"weight": [{"weight": 1, "of": "entropy"}]}},
                                {"weight": 2, "of": "margin"},
                            ]
                        },
                    ]
                },
            },
            {"share": 0.5, "of": "k_center"},
        ]
    }
    excluded = np.arange(50) % 2 == 0
    selection = parse(spec).select_with_branches(full_pool(50, excluded), 10, seeded())
    assert len(set(selection.indices.tolist())) == 10
    assert not excluded[selection.indices].any()
    chained = "mix(random | margin) > weight(weight(entropy) + margin)"
    assert sorted(set(selection.branches)) == ["k_center", chained]


def test_needs_are_those_of_all_members_and_are_checked_first() -> None:
    spec = parse({"chain": ["k_center", {"mix": [{"share": 1, "of": "margin"}]}, "random"]})
    assert spec.needs == {"embeddings", "probabilities"}
    assert spec.uses == {"embeddings", "labelled_embeddings", "probabilities", "weights"}
    with pytest.raises(MissingInputError, match=r"^margin needs probabilities"):
        spec.select(Pool(embeddings=full_fields(5)["embeddings"]), 0, seeded())


@pytest.mark.parametrize("spec", [{"chain": ["margin"]}, {"mix": [{"share": 1, "of": "margin"}]}])
def test_what_only_selects_has_no_score(spec: object) -> None:
    with pytest.raises(NoScoreError, match="has no score"):
        parse(spec).score(full_pool(5))


@pytest.mark.parametrize(
    ("spec", "needs_model", "stand_in"),
    [
        ("margin", True, "random"),
        ("k_center", False, "k_center"),
        (
            {"chain": [{"margin": {"keep": 5}}, "k_center"]},
            True,
            {"chain": [{"random": {"keep": 5}}, "k_center"]},
        ),
        (
            {"mix": [{"share": 0.9, "of": "entropy"}, {"share": 0.1, "of": "random"}]},
            True,
            {"mix": [{"share": 0.9, "of": "random"}, {"share": 0.1, "of": "random"}]},
        ),
        ({"weight": [{"weight": 1, "of": "entropy"}]}, True, "random"),
    ],
)
def test_random_stands_in_for_what_needs_a_model(
    spec: object, needs_model: bool, stand_in: object
) -> None:
    parsed = parse(spec)
    assert parsed.needs_model is needs_model
    assert parsed.without(MODEL_FIELDS).to_json() == stand_in
    assert not parsed.without(MODEL_FIELDS).needs_model
    assert len(parsed.without(MODEL_FIELDS).select(Pool(embeddings=np.eye(6)), 4, seeded())) == 4
