"""What every strategy of the registry promises, whatever its idea."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from strategies import (
    InvalidPoolError,
    MissingInputError,
    NoScoreError,
    Pool,
    StrategyError,
    names,
    parse,
    score,
    select,
)
from strategies.registry import REGISTRY
from tests.strategies.pools import full_fields, full_pool, reordered

every_strategy = pytest.mark.parametrize("name", names())
scoring = pytest.mark.parametrize("name", [n for n in names() if REGISTRY[n].has_score])
deterministic = pytest.mark.parametrize("name", [n for n in names() if not REGISTRY[n].random])


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def assert_valid(picks: np.ndarray, expected: int, n: int) -> None:
    assert picks.dtype == np.int64
    assert picks.shape == (expected,)
    assert len(set(picks.tolist())) == expected
    assert all(0 <= pick < n for pick in picks)


def has_equal_scores(name: str, fields: dict[str, Any]) -> bool:
    scores = score(name, Pool(**fields))
    return len(np.unique(scores)) < len(scores)


@every_strategy
@pytest.mark.parametrize("size", [0, 1, 7, 30])
def test_selects_exactly_size_distinct_items(name: str, size: int) -> None:
    assert_valid(select(name, full_pool(30), size, seeded()), size, 30)


@every_strategy
def test_selects_all_that_are_eligible_when_asked_for_more(name: str) -> None:
    assert_valid(select(name, full_pool(9), 20, seeded()), 9, 9)


@every_strategy
@pytest.mark.parametrize("share_excluded", [0.1, 0.5, 0.9, 1.0])
def test_never_selects_an_excluded_item(name: str, share_excluded: float) -> None:
    excluded = seeded(1).random(40) < share_excluded
    picks = select(name, full_pool(40, excluded), 40, seeded())
    assert_valid(picks, int((~excluded).sum()), 40)
    assert not excluded[picks].any()


@every_strategy
def test_an_excluded_favourite_makes_room_for_the_next(name: str) -> None:
    fields = full_fields(40)
    first = select(name, Pool(**fields), 1, seeded())
    excluded = np.isin(np.arange(40), first)
    assert select(name, Pool(**fields, excluded=excluded), 1, seeded())[0] != first[0]


@every_strategy
@pytest.mark.parametrize("n", [0, 1])
def test_copes_with_an_empty_pool_and_with_one_item(name: str, n: int) -> None:
    assert_valid(select(name, full_pool(n), 3, seeded()), n, n)


@every_strategy
def test_copes_without_labelled_items(name: str) -> None:
    assert_valid(select(name, full_pool(12, labelled=0), 5, seeded()), 5, 12)


@every_strategy
@pytest.mark.parametrize("shape", [{"classes": 1}, {"classes": 1000}, {"dimensions": 1}])
def test_copes_with_extreme_widths(name: str, shape: dict[str, int]) -> None:
    assert_valid(select(name, full_pool(25, **shape), 10, seeded()), 10, 25)


@every_strategy
@pytest.mark.parametrize("repeats", [(1, 12), (3, 4), (6, 2)])
def test_copes_with_identical_and_duplicated_items(name: str, repeats: tuple[int, int]) -> None:
    distinct, copies = repeats
    fields = reordered(full_fields(distinct), np.repeat(np.arange(distinct), copies))
    assert_valid(select(name, Pool(**fields), 10, seeded()), 10, 12)


@every_strategy
def test_the_same_seed_gives_the_same_picks(name: str) -> None:
    # Duplicated items, so that the order of equals is part of the promise.
    fields = reordered(full_fields(10), np.repeat(np.arange(10), 4))
    picks = [select(name, Pool(**fields), 15, seeded(3)) for _ in range(2)]
    assert_array_equal(picks[0], picks[1])


@deterministic
def test_needs_no_generator_unless_it_is_random(name: str) -> None:
    picks = [select(name, full_pool(30), 10) for _ in range(2)]
    assert_array_equal(picks[0], picks[1])


@deterministic
@pytest.mark.parametrize("seed", range(5))
def test_does_not_depend_on_the_order_of_the_pool(name: str, seed: int) -> None:
    fields = full_fields(60, seed=seed)
    order = seeded(seed + 100).permutation(60)
    picks = select(name, Pool(**fields), 12, seeded())
    moved = order[select(name, Pool(**reordered(fields, order)), 12, seeded(9))]
    if REGISTRY[name].selecting is None and has_equal_scores(name, fields):
        # Counted scores (votes) have many equals, which the order of the pool decides.
        scores = score(name, Pool(**fields))
        moved, picks = scores[moved], scores[picks]
    assert_array_equal(moved, picks)


@scoring
def test_scores_are_finite_float64_and_in_the_order_of_the_picks(name: str) -> None:
    pool = full_pool(50)
    scores = score(name, pool, seeded())
    assert scores.dtype == np.float64
    assert scores.shape == (50,)
    assert np.isfinite(scores).all()
    if REGISTRY[name].selecting is None:
        picks = select(name, pool, 50, seeded())
        assert_array_equal(scores[picks], np.sort(scores)[::-1])


@pytest.mark.parametrize("name", [n for n in names() if not REGISTRY[n].has_score])
def test_a_strategy_that_only_selects_says_so_when_asked_for_a_score(name: str) -> None:
    with pytest.raises(NoScoreError, match=f"{name} has no score"):
        score(name, full_pool(5), seeded())


@every_strategy
def test_says_which_input_is_missing(name: str) -> None:
    for field in REGISTRY[name].needs:
        fields = {**full_fields(5), field: None}
        with pytest.raises(MissingInputError, match=f"^{name} needs {field}") as caught:
            select(name, Pool(**fields), 2, seeded())
        assert caught.value.field == field


@every_strategy
def test_needs_no_more_than_it_declares(name: str) -> None:
    fields = full_fields(20)
    needed = {field: fields[field] for field in REGISTRY[name].needs}
    assert_valid(select(name, Pool(**needed, size=20), 5, seeded()), 5, 20)


@every_strategy
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_leaves_memory_mapped_input_of_either_precision_unchanged(
    name: str, dtype: type, tmp_path: Path
) -> None:
    fields, before = full_fields(30), {}
    excluded = np.zeros(30, dtype=bool)
    for field, value in fields.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            before[field] = value.astype(dtype)
            np.save(tmp_path / f"{field}.npy", before[field])
            # Read-only: a strategy that writes to it fails.
            fields[field] = np.load(tmp_path / f"{field}.npy", mmap_mode="r")
    assert_valid(select(name, Pool(**fields, excluded=excluded), 8, seeded()), 8, 30)
    for field, value in before.items():
        assert_array_equal(np.load(tmp_path / f"{field}.npy"), value)
    assert not excluded.any()


@every_strategy
def test_writable_input_is_not_written_to(name: str) -> None:
    fields, copies = full_fields(30), full_fields(30)
    select(name, Pool(**fields), 8, seeded())
    for field, value in fields.items():
        if isinstance(value, np.ndarray):
            assert_array_equal(value, copies[field])


@every_strategy
def test_memory_layout_does_not_matter(name: str) -> None:
    fields = full_fields(40)
    strided = {**fields}
    for field in ("embeddings", "probabilities", "previous_probabilities"):
        strided[field] = np.asfortranarray(fields[field])
    picks = select(name, Pool(**fields), 10, seeded())
    assert_array_equal(select(name, Pool(**strided), 10, seeded()), picks)


@every_strategy
def test_global_random_state_is_neither_read_nor_written(name: str) -> None:
    picks = []
    for global_seed in (1, 2):
        np.random.seed(global_seed)
        torch.manual_seed(global_seed)
        numpy_before: Any = np.random.get_state()
        torch_before = torch.get_rng_state()
        picks.append(select(name, full_pool(30), 10, seeded()))
        numpy_after: Any = np.random.get_state()
        assert_array_equal(numpy_before[1], numpy_after[1])
        assert numpy_before[2] == numpy_after[2]
        assert torch.equal(torch_before, torch.get_rng_state())
    assert_array_equal(picks[0], picks[1])


@every_strategy
@pytest.mark.parametrize(
    ("wrong", "field", "row"),
    [
        ("not finite", "embeddings", 3),
        ("infinite", "embeddings", 4),
        ("not finite", "probabilities", 2),
        ("negative", "probabilities", 5),
        ("unnormalised", "probabilities", 6),
    ],
)
def test_wrong_input_is_refused_with_the_array_and_the_row(
    name: str, wrong: str, field: str, row: int
) -> None:
    fields = full_fields(8)
    values = {
        "not finite": np.nan,
        "infinite": np.inf,
        "negative": -0.25,
        "unnormalised": fields[field][row, 0] + 0.5,
    }
    fields[field][row, 0] = values[wrong]
    with pytest.raises(InvalidPoolError, match=f"^{field}, row {row}: ") as caught:
        select(name, Pool(**fields), 2, seeded())
    assert (caught.value.field, caught.value.row) == (field, row)


@every_strategy
@pytest.mark.parametrize("size", [-1, 2.5, True, "3"])
def test_a_size_that_is_no_count_is_refused(name: str, size: Any) -> None:
    with pytest.raises(StrategyError, match="size is"):
        select(name, full_pool(5), size, seeded())


@every_strategy
def test_a_seed_in_place_of_a_generator_is_refused(name: str) -> None:
    with pytest.raises(StrategyError, match="default_rng"):
        select(name, full_pool(5), 2, 7)  # type: ignore[arg-type]


@every_strategy
def test_the_grammar_gives_the_same_picks(name: str) -> None:
    excluded = np.arange(30) % 3 == 0
    picks = select(name, full_pool(30, excluded), 10, seeded(5))
    selection = parse(name).select_with_branches(full_pool(30, excluded), 10, seeded(5))
    assert_array_equal(selection.indices, picks)
    # A strategy that calls others says which one behind its own name.
    assert all(branch.split(" > ")[0] == name for branch in selection.branches)
    assert np.isnan(selection.scores).all() != REGISTRY[name].has_score


@every_strategy
def test_names_its_source(name: str) -> None:
    assert REGISTRY[name].citation
    for function in (REGISTRY[name].scoring, REGISTRY[name].selecting):
        assert function is None or "Source: " in (function.__doc__ or "")
