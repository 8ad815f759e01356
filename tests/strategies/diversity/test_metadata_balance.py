"""Balance of metadata columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import MissingInputError, Pool, StrategyError, parse, select
from strategies.combining.specification import Selection


def batch(
    metadata: dict[str, np.ndarray],
    size: int,
    labelled: dict[str, np.ndarray] | None = None,
    seed: int = 0,
    excluded: np.ndarray | None = None,
    **parameters: object,
) -> Selection:
    pool = Pool(metadata=metadata, labelled_metadata=labelled, excluded=excluded)
    spec = parse({"metadata_balance": parameters})
    return spec.select_with_branches(pool, size, np.random.default_rng(seed))


def counts(values: np.ndarray, found: Selection) -> dict[str, int]:
    levels, number = np.unique(values[found.indices], return_counts=True)
    return dict(zip(levels.tolist(), number.tolist(), strict=True))


SITES = np.repeat(["north", "south", "west"], [80, 15, 5])


def test_levels_get_equal_quotas_as_far_as_their_items_go() -> None:
    found = batch({"site": SITES}, 30)
    assert counts(SITES, found) in (
        {"north": 13, "south": 12, "west": 5},
        {"north": 12, "south": 13, "west": 5},
    )
    assert {detail["level"]: detail["quota"] for detail in found.details}["site = west"] == 5


def test_what_is_labelled_counts_so_that_rare_levels_are_topped_up_first() -> None:
    labelled = {"site": np.repeat(["north", "south"], [10, 4])}
    found = batch({"site": SITES}, 14, labelled)
    # West has none and south four: west gets its five items, south grows to ten, the rest is even.
    assert sorted(set(SITES[found.indices[:4]])) == ["west"]
    assert counts(SITES, found) in (
        {"north": 1, "south": 8, "west": 5},
        {"north": 2, "south": 7, "west": 5},
    )


def test_a_level_can_be_over_represented() -> None:
    sites = np.repeat(["a", "b", "c"], 100)
    found = batch({"site": sites}, 50, over_represent={"site": {"b": 3.0}})
    assert counts(sites, found) == {"a": 10, "b": 30, "c": 10}


def test_crossed_columns_balance_each_combination_and_single_ones_their_margins() -> None:
    site = np.repeat(["n", "n", "s", "s"], [60, 20, 15, 5])
    sex = np.repeat(["f", "m", "f", "m"], [60, 20, 15, 5])
    metadata = {"site": site, "sex": sex}
    both = np.char.add(site, sex)
    crossed = batch(metadata, 20, columns=["site", "sex"], crossed=True)
    assert counts(both, crossed) == {"nf": 5, "nm": 5, "sf": 5, "sm": 5}
    single = batch(metadata, 20, columns=["site", "sex"])
    # One pick after another, so that each margin is even to within one.
    assert set(counts(site, single).values()) <= {9, 10, 11}
    assert set(counts(sex, single).values()) <= {9, 10, 11}
    factors = {"site": {"s": 2.0}, "sex": {"m": 2.0}}
    tilted = batch(metadata, 9, columns=["site", "sex"], crossed=True, over_represent=factors)
    assert counts(both, tilted) == {"nf": 1, "nm": 2, "sf": 2, "sm": 4}


@given(st.integers(0, 1000), st.integers(1, 60))
def test_one_column_alone_and_among_equals_gives_the_same_counts(seed: int, size: int) -> None:
    sites = np.random.default_rng(seed).choice(
        ["a", "b", "c", "d"], size=60, p=[0.7, 0.2, 0.06, 0.04]
    )
    labelled = {"site": np.array(["a", "a", "b"]), "copy": np.array(["a", "a", "b"])}
    # A column and its copy decide as the column does: the slow path against the quick one.
    alone = batch({"site": sites}, size, {"site": labelled["site"]}, seed)
    twice = batch({"site": sites, "copy": sites}, size, labelled, seed)
    held = {"a": 2, "b": 1, "c": 0, "d": 0}
    totals = [
        sorted(number + counts(sites, found).get(level, 0) for level, number in held.items())
        for found in (alone, twice)
    ]
    assert totals[0] == totals[1]


def test_missing_values_are_balanced_like_any_level() -> None:
    values = np.array(["x"] * 50 + [None] * 5 + [""] * 5, dtype=object)
    found = batch({"site": values}, 10)
    assert sum(value == "x" for value in values[found.indices]) == 5
    assert {detail["level"] for detail in found.details} == {"site = x", "site = (missing)"}


def test_numbers_are_balanced_by_bins() -> None:
    ages = np.random.default_rng(0).gamma(2.0, size=1000)
    found = batch({"age": ages}, 40, bins=4)
    quartiles = np.quantile(ages, [0.25, 0.5, 0.75])
    assert np.bincount(np.searchsorted(quartiles, ages[found.indices])).tolist() == [10] * 4
    wide = batch({"age": ages}, 20, bins=4, binning="width")
    edges = np.linspace(ages.min(), ages.max(), 5)[1:-1]
    placed = np.bincount(np.searchsorted(edges, ages[wide.indices], side="right"), minlength=4)
    available = np.bincount(np.searchsorted(edges, ages, side="right"), minlength=4)
    assert placed.max() - placed[available >= 7].min() <= 3


def test_an_item_within_a_level_is_drawn_by_chance() -> None:
    sites = np.repeat(["a", "b"], [4, 4])
    times = np.zeros(8)
    rng = np.random.default_rng(1)
    for _ in range(2000):
        times[select("metadata_balance", Pool(metadata={"site": sites}), 2, rng)] += 1
    # 2,000 draws of probability 1/4: standard deviation 19.4; five of them either side.
    assert (np.abs(times - 500) < 97).all()


def test_measured_properties_are_left_out_unless_they_are_named() -> None:
    metadata = {"site": SITES, "image:size": np.arange(100.0)}
    assert all("size" not in detail["level"] for detail in batch(metadata, 10).details)
    named = batch(metadata, 10, columns=["image:size"])
    assert all("image:size" in detail["level"] for detail in named.details)


def test_an_unknown_column_is_refused_with_those_that_are_there() -> None:
    metadata = {"scanner": SITES, "age": np.arange(100)}
    message = r"metadata_balance needs metadata\['scaner'\]; did you mean 'scanner'\? \(known col"
    with pytest.raises(MissingInputError, match=message + r"umns: age, scanner\)"):
        batch(metadata, 5, columns=["scaner"])
    with pytest.raises(StrategyError, match="the column 'age', which is not balanced"):
        batch(metadata, 5, columns=["scanner"], over_represent={"age": {"1": 2.0}})


def test_an_over_represented_level_that_no_item_has_is_a_warning() -> None:
    found = batch({"site": SITES}, 5, over_represent={"site": {"nort": 2.0}})
    assert found.warnings == (
        "over_represent asks for site = nort, which no item has; its levels are north, south, west",
    )


def test_a_column_that_the_labelled_items_lack_is_a_note() -> None:
    found = batch({"site": SITES}, 5, {"age": np.arange(3)})
    assert found.notes == (
        "the labelled items have no 'site', so only the batch is balanced by it",
    )


@given(st.integers(0, 500), st.integers(1, 40), st.booleans())
def test_no_excluded_item_and_full_batches(seed: int, size: int, crossed: bool) -> None:
    rng = np.random.default_rng(seed)
    metadata = {"p": rng.choice(["a", "b"], 40), "q": rng.choice(["x", "y", "z"], 40)}
    excluded = rng.random(40) < 0.4
    found = batch(metadata, size, excluded=excluded, crossed=crossed)
    assert len(set(found.indices.tolist())) == min(size, int((~excluded).sum()))
    assert not excluded[found.indices].any()
