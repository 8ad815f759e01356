"""An even spread over the quantiles of properties, against the integral that it minimises."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import Pool, parse, select


def unevenness(quantiles: np.ndarray) -> float:
    """The integral of (S(u) - u)^2 over [0, 1], S the share of the quantiles at or below u."""
    edges = np.concatenate([[0.0], np.sort(quantiles), [1.0]])
    shares = np.arange(len(edges) - 1) / max(1, len(quantiles))
    cubes = (edges[1:] - shares) ** 3 - (edges[:-1] - shares) ** 3
    return float(cubes.sum() / 3)


def quantiles(column: np.ndarray, values: np.ndarray) -> np.ndarray:
    below = (column[None, :] < values[:, None]).mean(axis=1)
    return below + 0.5 * (column[None, :] == values[:, None]).mean(axis=1)


@settings(max_examples=40)
@given(st.integers(1, 25), st.integers(0, 5), st.integers(1, 3), st.integers(0, 99))
def test_each_pick_is_the_one_that_leaves_the_spread_most_even(
    n: int, labelled: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    columns = {f"image:{j}": rng.integers(0, 12, size=n).astype(float) for j in range(count)}
    held = {name: rng.integers(0, 12, size=labelled).astype(float) for name in columns}
    found = select("spread_properties", Pool(metadata=columns, labelled_metadata=held), n)
    taken = {name: quantiles(columns[name], values) for name, values in held.items()}
    left = set(range(n))
    for pick in found.tolist():
        after = {}
        for i in left:
            after[i] = sum(
                # The greedy step minimises (t + 1)^2 times the integral: t is the same for all.
                unevenness(np.append(taken[name], quantiles(column, column[i : i + 1])))
                for name, column in columns.items()
            )
        assert after[pick] <= min(after.values()) + 1e-9
        left.remove(pick)
        for name, column in columns.items():
            taken[name] = np.append(taken[name], quantiles(column, column[pick : pick + 1]))


def test_a_skewed_column_is_spread_by_rank() -> None:
    values = np.random.default_rng(0).lognormal(sigma=2.0, size=999)
    found = select("spread_properties", Pool(metadata={"text:words": values}), 20)
    ranks = np.sort(quantiles(values, values[found]))
    # At random the largest gap between 20 of them is about 0.17.
    assert np.diff(ranks, prepend=0.0, append=1.0).max() < 0.1


def test_what_is_labelled_leaves_its_place_to_others() -> None:
    values = np.linspace(0.0, 1.0, 101)
    labelled = {"x": np.linspace(0.0, 0.5, 50)}
    found = select(
        "spread_properties", Pool(metadata={"x": values}, labelled_metadata=labelled), 40
    )
    assert (values[found] > 0.5).all()


def test_missing_values_get_their_share() -> None:
    values = np.append(np.linspace(0.0, 1.0, 40), np.full(10, np.nan))
    alone = parse("spread_properties").select_with_branches(Pool(metadata={"x": values}), 50)
    missing = np.isnan(values[alone.indices])
    for size in range(1, 51):
        assert abs(missing[:size].sum() - size / 5) <= 1
    assert alone.details[0] == {"level": "x at 49%"}
    assert alone.details[int(np.argmax(missing))] == {"level": "x is missing"}
    other = np.random.default_rng(0).permutation(50) / 50.0
    pool = Pool(metadata={"x": values, "y": other})
    assert 4 <= np.isnan(values[select("spread_properties", pool, 25)]).sum() <= 6


def test_a_column_of_missing_values_alone_decides_nothing() -> None:
    metadata = {"x": np.arange(9.0), "y": np.full(9, np.nan)}
    picks = select("spread_properties", Pool(metadata=metadata), 9)
    assert (
        picks.tolist()
        == select("spread_properties", Pool(metadata={"x": np.arange(9.0)}), 9).tolist()
    )
