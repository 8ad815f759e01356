"""Pins by hand come first, for every strategy and combination."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from strategies import Pool, names, parse, select
from strategies.combining.specification import PIN
from tests.strategies.pools import full_fields

COMBINATIONS: list[Any] = [
    {"chain": [{"margin": {"keep": 3}}, "k_center"]},
    {"mix": [{"share": 1, "of": "margin"}, {"share": 1, "of": "random"}]},
    {"weight": [{"weight": 1, "of": "margin"}, {"weight": 2, "of": "entropy"}]},
    {"power": {"of": "entropy"}},
    {"groups": {"at_most": 20, "of": "random"}},
    {"mix": [{"share": 1, "of": {"chain": ["random", "k_center"]}}, {"share": 2, "of": "entropy"}]},
]
every_specification = pytest.mark.parametrize("spec", [*names(), *COMBINATIONS], ids=str)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pinned_pool(pinned: list[int], excluded: tuple[int, ...] = (), **fields: Any) -> Pool:
    rows = np.arange(40)
    given = {**full_fields(40), **fields}
    return Pool(**given, pinned=np.isin(rows, pinned), excluded=np.isin(rows, excluded))


@every_specification
@pytest.mark.parametrize("size", [0, 2, 3, 10, 40])
def test_pins_come_first_by_index_and_the_strategy_fills_the_rest(spec: Any, size: int) -> None:
    pool = pinned_pool([31, 4, 17, 8], excluded=(8, 9))
    found = parse(spec).select_with_branches(pool, size, seeded())
    expected = [4, 17, 31][:size]
    assert found.indices[:3].tolist() == expected
    assert found.branches[:3] == (PIN,) * len(expected)
    assert PIN not in found.branches[3:]
    assert len(set(found.indices.tolist())) == len(found) == min(size, 38)
    assert not {8, 9} & set(found.indices.tolist())
    assert np.isnan(found.scores[: len(expected)]).all()


@pytest.mark.parametrize("name", names())
def test_selecting_by_name_pins_alike(name: str) -> None:
    pool = pinned_pool([31, 4, 8], excluded=(8,))
    by_grammar = parse(name).select(pool, 9, seeded(2))
    assert_array_equal(select(name, pool, 9, seeded(2)), by_grammar)
    assert by_grammar[:2].tolist() == [4, 31]


def test_the_strategy_takes_the_pins_for_picked() -> None:
    embeddings = np.array([[0.0], [1.0], [2.0], [100.0], [101.0]])
    pool = Pool(embeddings=embeddings, pinned=np.arange(5) == 4)
    # From the pin at 101, the farthest is 0; without the pin it would begin in the middle.
    assert select("k_center", pool, 3).tolist() == [4, 0, 2]
    plain = Pool(embeddings=embeddings, labelled_embeddings=embeddings[4:])
    assert select("k_center", plain.without(np.array([4])), 2).tolist() == [0, 2]


def test_pins_alone_make_a_batch() -> None:
    pool = Pool(size=4, pinned=np.ones(4, dtype=bool))
    assert select("random", pool, 4, seeded()).tolist() == [0, 1, 2, 3]
    assert select("random", pool, 2, seeded()).tolist() == [0, 1]


@given(st.lists(st.integers(0, 11), unique=True), st.integers(0, 5), st.integers(0, 3))
def test_with_picked_counts_them_among_the_labelled(
    picked: list[int], labelled: int, seed: int
) -> None:
    fields = full_fields(12, labelled=labelled, seed=seed)
    pool = Pool(**fields, excluded=np.arange(12) == 11)
    indices = np.array(picked, dtype=np.int64)
    after = pool.with_picked(indices)
    assert set(after.eligible) == set(range(11)) - set(picked)
    assert_array_equal(
        after.labelled_embeddings,
        np.concatenate([fields["labelled_embeddings"], fields["embeddings"][indices]]),
    )
    predicted = fields["probabilities"][indices].argmax(axis=1)
    assert_array_equal(after.labels, np.concatenate([fields["labels"], predicted]))
    assert after.labelled_metadata is not None
    for column, values in after.labelled_metadata.items():
        joined = np.concatenate(
            [fields["labelled_metadata"][column], fields["metadata"][column][indices]]
        )
        assert_array_equal(values, joined)
    # The pool before is as it was.
    assert len(pool.eligible) == 11
    assert pool.labels is not None
    assert len(pool.labels) == labelled


def test_with_picked_keeps_the_labelled_items_in_step() -> None:
    fields = full_fields(6, labelled=2)
    one = np.array([3])
    # Labels without probabilities: nothing is known of the class, so nothing is added.
    unknown = Pool(**{**fields, "probabilities": None, "members": None})
    assert unknown.with_picked(one).labels is unknown.labels
    assert unknown.with_picked(one).labelled_embeddings is unknown.labelled_embeddings
    # What the pool cannot tell of the pick is dropped for all the labelled items.
    no_rows = Pool(**{**fields, "embeddings": None}).with_picked(one)
    assert no_rows.labelled_embeddings is None
    assert no_rows.labels is not None
    assert len(no_rows.labels) == 3
    no_columns = Pool(**{**fields, "metadata": None}).with_picked(one)
    assert not no_columns.labelled_metadata
    # Without any labelled item the picks are the first.
    bare = Pool(embeddings=fields["embeddings"]).with_picked(one)
    assert_array_equal(bare.labelled_embeddings, fields["embeddings"][one])
