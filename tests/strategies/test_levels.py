"""The levels of metadata columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from strategies.levels import MISSING, UNSEEN, column_levels, combinations


@pytest.mark.parametrize(
    "values",
    [
        np.array(["b", "a", "", "b", " "]),
        np.array(["b", "a", None, "b", ""], dtype=object),
        np.array(["b", "a", np.nan, "b", np.datetime64("NaT")], dtype=object),
        np.array([b"b", b"a", b"", b"b", b" "]),
    ],
)
def test_missing_values_are_a_level_of_their_own(values: np.ndarray) -> None:
    levels = column_levels("site", values)
    assert levels.names == ("site = a", "site = b", f"site = {MISSING}")
    assert levels.pool.tolist() == [1, 0, 2, 1, 2]


def test_missing_numbers_and_moments_are_too() -> None:
    assert column_levels("grade", np.array([2.0, np.nan, 1.0])).pool.tolist() == [1, 2, 0]
    days = np.array(["2026-01-02", "NaT", "2026-01-01"], dtype="datetime64[D]")
    assert column_levels("day", days).names == (
        "day = 2026-01-01",
        "day = 2026-01-02",
        f"day = {MISSING}",
    )


def test_whole_numbers_are_named_alike_however_they_are_stored() -> None:
    mixed = np.array([1, 1.0, "1", 2], dtype=object)
    assert column_levels("grade", mixed).pool.tolist() == [0, 0, 0, 1]
    pool, labelled = np.array([1, 2]), np.array([2.0, 1.0, 7.0])
    assert column_levels("grade", pool, labelled).labelled.tolist() == [1, 0, UNSEEN]


def test_many_numbers_are_cut_at_quantiles() -> None:
    values = np.append(np.arange(100.0) ** 2, np.nan)
    levels = column_levels("age", values, np.array([0.0, 1e9, np.nan]), bins=4)
    assert np.bincount(levels.pool).tolist() == [25, 25, 25, 25, 1]
    assert levels.labelled.tolist() == [0, 3, 4]
    assert levels.parts[0] == (("age", "bin 1 of 4"),)
    assert levels.names[3] == "age = bin 4 of 4 (5513 to 9801)"


def test_equal_widths_are_another_choice() -> None:
    levels = column_levels("age", np.arange(100.0) ** 2, bins=4, binning="width")
    edges = 9801 * np.arange(1, 4) / 4
    assert_array_equal(levels.pool, np.searchsorted(edges, np.arange(100.0) ** 2, side="right"))


def test_a_value_that_fills_several_quantiles_is_one_bin() -> None:
    values = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)])
    levels = column_levels("count", values, bins=5)
    assert len(set(levels.pool[:900].tolist())) == 1
    assert len(levels.names) <= 6


def test_moments_are_cut_like_numbers_and_shown_as_moments() -> None:
    days = np.datetime64("2026-01-01") + np.arange(60)
    levels = column_levels("day", days, bins=2)
    assert levels.names[0] == "day = bin 1 of 2 (2026-01-01 to 2026-01-30)"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), max_size=30))
def test_combinations_are_those_that_an_item_has(pairs: list[tuple[str, str]]) -> None:
    first = np.array([pair[0] for pair in pairs], dtype=np.str_)
    second = np.array([pair[1] for pair in pairs], dtype=np.str_)
    held = np.array(["a", "c", "z"]), np.array(["x", "y", "x"])
    both = combinations([column_levels("p", first, held[0]), column_levels("q", second, held[1])])
    expected = sorted(set(pairs))
    assert both.names == tuple(f"p = {a}, q = {b}" for a, b in expected)
    assert [expected[code] for code in both.pool] == pairs
    if pairs:
        for code, pair in zip(both.labelled, zip(*held, strict=True), strict=True):
            assert code == (expected.index(pair) if pair in expected else UNSEEN)
