"""Rare and extreme properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies import MissingInputError, Pool, parse, score, select

finite = st.floats(-1e6, 1e6)


def scores(metadata: dict[str, np.ndarray], **parameters: object) -> np.ndarray:
    return score("rare_properties", Pool(metadata=metadata), **parameters)


def test_each_side_is_measured_by_its_own_quartile() -> None:
    # Median 4, quartiles 2 and 10: below in units of 2 (4 - 2), above of 2 (10 - 4).
    values = np.array([0.0, 2.0, 4.0, 10.0, 40.0])
    assert_allclose(scores({"image:size": values}), [1.0, 0.5, 0.0, 0.5, 3.0])
    assert_allclose(scores({"image:size": values}, side="low"), [1.0, 0.5, 0.0, 0.0, 0.0])
    assert_allclose(scores({"image:size": values}, side="high"), [0.0, 0.0, 0.0, 0.5, 3.0])


def test_columns_are_joined_by_their_maximum_or_their_mean() -> None:
    metadata = {
        "a": np.array([0.0, 2.0, 4.0, 10.0, 40.0]),
        "b": np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
    }
    assert_allclose(scores(metadata), [1.0, 0.5, 0.0, 0.5, 3.0])
    assert_allclose(scores(metadata, combine="mean"), [1.0, 0.5, 0.0, 0.5, 2.0])
    assert_allclose(scores(metadata, columns=["b"]), [1.0, 0.5, 0.0, 0.5, 1.0])


def test_a_crowded_median_leaves_the_rare_values_rare() -> None:
    # Three quarters at 0: the quartiles are no measure, the mean distance is.
    values = np.concatenate([np.zeros(90), np.arange(1.0, 11.0)])
    found = scores({"text:digits": values})
    assert (found[:90] == 0).all()
    assert (np.diff(found[90:]) > 0).all()
    assert_allclose(found[90], 1.0 / (2 * 0.8453 * values.mean()))
    one_sided = np.concatenate([np.zeros(60), np.arange(1.0, 41.0)])
    assert np.isfinite(scores({"text:digits": one_sided})).all()


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0, np.nan, 2.0, 500.0, 3.0, 4.0]),
        np.array([1.0, np.inf, 2.0, 500.0, 3.0, 4.0]),
        np.array([1, None, 2, 500, 3, 4], dtype=object),
    ],
)
def test_a_missing_value_is_not_rare(values: np.ndarray) -> None:
    assert scores({"image:size": values})[1] == 0.0
    assert select("rare_properties", Pool(metadata={"image:size": values}), 1).tolist() == [3]


@given(st.lists(finite, min_size=1, max_size=30), st.floats(0.001, 1000.0), finite)
def test_unit_and_zero_point_do_not_matter(values: list[float], unit: float, zero: float) -> None:
    column = np.round(np.array(values), 3)
    before = scores({"x": column})
    assert_allclose(scores({"x": unit * column}), before, rtol=1e-6, atol=1e-9)
    mirrored = scores({"x": -column}, side="low")
    assert_allclose(mirrored, scores({"x": column}, side="high"), rtol=1e-9, atol=1e-12)
    shifted = scores({"x": column + np.round(zero)})
    assert np.isfinite(shifted).all()
    assert (before >= 0).all()


def test_huge_values_stay_finite() -> None:
    values = np.array([-1.7e308, 0.0, 1e-300, 2e-300, 3e-300, 1.7e308])
    assert np.isfinite(scores({"x": values})).all()


def test_the_explanation_names_the_most_extreme_property() -> None:
    metadata = {
        "image:size": np.array([1.0, 2.0, 3.0, 4.0, 900.0]),
        "image:noise": np.array([1.0, 90.0, 3.0, 4.0, 2.0]),
    }
    found = parse("rare_properties").select_with_branches(Pool(metadata=metadata), 2)
    assert found.indices.tolist() == [4, 1]
    assert found.details == (
        {"property": "image:size", "value": 900.0},
        {"property": "image:noise", "value": 90.0},
    )
    assert_array_equal(found.scores, scores(metadata)[[4, 1]])


def test_a_column_without_numbers_is_refused() -> None:
    metadata = {"site": np.array(["a", "b"])}
    with pytest.raises(MissingInputError, match=r"needs numbers in metadata\['site'\]"):
        scores(metadata, columns=["site"])
    with pytest.raises(MissingInputError, match=r"needs a column of numbers .*there: site\)"):
        scores(metadata)
    with pytest.raises(MissingInputError, match=r"metadata\['size'\].*known columns: site"):
        scores(metadata, columns=["size"])
