"""What a pool accepts, and how it refuses the rest."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from strategies import InvalidPoolError, Pool
from tests.strategies.pools import full_fields

HALF = np.full((3, 2), 0.5)


@pytest.mark.parametrize(
    ("fields", "field", "row", "message"),
    [
        ({}, "size", None, "size: no array says how many items there are; give size=n"),
        ({"labels": np.array([1])}, "size", None, "give size=n"),
        ({"size": -1}, "size", None, "not a whole number >= 0"),
        ({"size": True}, "size", None, "not a whole number >= 0"),
        ({"size": 4, "embeddings": HALF}, "embeddings", None, "has n = 3, but size has n = 4"),
        ({"embeddings": [[1.0]]}, "embeddings", None, "is a list, not a NumPy array"),
        ({"embeddings": np.ones((3, 2), int)}, "embeddings", None, "convert it to float32 or"),
        ({"embeddings": HALF.astype(">f8")}, "embeddings", None, "native byte order"),
        ({"embeddings": np.ones(3)}, "embeddings", None, r"must have shape \(n, d\)"),
        ({"embeddings": np.ones((3, 0))}, "embeddings", None, "d = 0; it must be at least 1"),
        ({"probabilities": np.ones((3, 0))}, "probabilities", None, "c = 0; it must be"),
        ({"members": HALF}, "members", None, r"must have shape \(k, n, c\)"),
        ({"members": np.ones((0, 3, 2))}, "members", None, "k = 0; it must be at least 1"),
        (
            {"members": np.stack([HALF, [[0.5, 0.5], [0.5, 0.6], [1.0, 0.0]]])},
            "members",
            1,
            "members, row 1: member 1 sums to 1.1, not 1",
        ),
        (
            {"probabilities": HALF, "members": np.full((2, 4, 2), 0.5)},
            "members",
            None,
            "has n = 4, but probabilities has n = 3",
        ),
        (
            {"probabilities": HALF, "previous_probabilities": np.ones((3, 1))},
            "previous_probabilities",
            None,
            "has c = 1, but probabilities has c = 2",
        ),
        (
            {"embeddings": HALF, "labelled_embeddings": np.ones((4, 3))},
            "labelled_embeddings",
            None,
            "has d = 3, but embeddings has d = 2",
        ),
        (
            {"embeddings": HALF, "labelled_embeddings": HALF, "labels": np.array([0])},
            "labels",
            None,
            "has m = 1, but labelled_embeddings has m = 3",
        ),
        ({"size": 1, "labels": np.array([0, -1])}, "labels", 1, "is -1, but must not be"),
        ({"size": 1, "labels": np.array([0.5])}, "labels", None, "class numbers"),
        ({"probabilities": HALF, "labels": np.array([1, 2])}, "labels", 1, "class 2, but"),
        ({"size": 2, "weights": np.array([1.0, -0.5])}, "weights", 1, "is -0.5, but must not"),
        ({"size": 2, "weights": np.array([np.nan, 1.0])}, "weights", 0, "not finite"),
        ({"predicted_loss": np.array([1.0, np.inf])}, "predicted_loss", 1, "not finite"),
        ({"excluded": np.array([0, 1])}, "excluded", None, "dtype bool"),
        ({"excluded": np.ones((2, 2), bool)}, "excluded", None, "must be one-dimensional"),
        ({"groups": np.array([0.5])}, "groups", None, "identifiers"),
        ({"size": 2, "metadata": {"site": ["a", "b"]}}, "metadata['site']", None, "is a list"),
        ({"size": 2, "metadata": {"a": np.ones(3)}}, "metadata['a']", None, "has n = 3, but"),
    ],
)
def test_names_what_is_wrong(
    fields: dict[str, Any], field: str, row: int | None, message: str
) -> None:
    with pytest.raises(InvalidPoolError, match=message) as caught:
        Pool(**fields)
    assert (caught.value.field, caught.value.row) == (field, row)


def test_the_first_wrong_row_is_named_in_a_pool_of_many_blocks() -> None:
    probabilities = np.full((300_000, 4), 0.25, dtype=np.float32)
    probabilities[[280_001, 290_000], 0] = -0.25
    with pytest.raises(InvalidPoolError, match=r"^probabilities, row 280001: holds -0.25"):
        Pool(probabilities=probabilities)


def test_float32_softmax_over_a_thousand_classes_counts_as_normalised() -> None:
    logits = np.random.default_rng(0).normal(size=(200, 1000)).astype(np.float32) * 5
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert probabilities.dtype == np.float32
    assert Pool(probabilities=probabilities).n == 200


def test_missing_metadata_is_no_mistake() -> None:
    metadata = {"site": np.array(["a", None], dtype=object), "age": np.array([np.nan, 3.0])}
    assert Pool(metadata=metadata).n == 2


@pytest.mark.parametrize("field", sorted(set(full_fields(1)) - {"labels", "labelled_embeddings"}))
def test_any_one_field_of_the_pool_says_how_large_it_is(field: str) -> None:
    if field != "labelled_metadata":
        assert Pool(**{field: full_fields(7)[field]}).n == 7


def test_narrowing_a_pool_shares_its_arrays_and_leaves_it_as_it_was() -> None:
    excluded = np.array([True, False, False, False])
    pool = Pool(embeddings=np.ones((4, 2)), excluded=excluded)
    assert pool.eligible.tolist() == [1, 2, 3]
    narrowed = pool.restricted_to(np.array([0, 1, 2])).without(np.array([2]))
    assert narrowed.eligible.tolist() == [1]
    assert narrowed.embeddings is pool.embeddings
    assert pool.eligible.tolist() == [1, 2, 3]
    assert_array_equal(excluded, [True, False, False, False])


def test_a_pool_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Pool(size=3).size = 4  # type: ignore[misc]
