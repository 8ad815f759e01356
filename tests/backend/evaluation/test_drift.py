"""Drift: a verdict in words, by fixed limits, seldom wrong where nothing has drifted."""

import numpy as np
import pytest

from backend.evaluation.drift import drift
from backend.evaluation.metadata_distance import metadata_distances


def test_distances_are_the_textbook_ones() -> None:
    first = {"site": np.array(["A"] * 60 + ["B"] * 40), "age": np.arange(100.0)}
    second = {"site": np.array(["A"] * 10 + ["C"] * 40), "age": np.arange(50.0) + 100}
    found = {one.field: one for one in metadata_distances(first, second, permutations=99)}
    # A 0.6 / 0.2, B 0.4 / 0, C 0 / 0.8
    assert found["site"].distance == pytest.approx((0.4 + 0.4 + 0.8) / 2)
    within = (100 * first["age"].var() + 50 * second["age"].var()) / 150
    assert found["age"].distance == pytest.approx((124.5 - 49.5) / within**0.5)
    assert all(one.p_value == pytest.approx(1 / 100) for one in found.values())
    assert all(one.chance < 0.5 for one in found.values())


def test_p_values_are_uniform_under_no_drift_also_in_groups() -> None:
    rng = np.random.default_rng(0)
    runs = 200
    small = np.zeros(2)
    for run in range(runs):
        sites = rng.choice(["A", "B", "C"], 60)
        owner = np.repeat(np.arange(60), 4)
        values = {"site": sites[owner], "age": rng.normal(size=60)[owner]}
        cut = 160
        found = metadata_distances(
            {f: v[:cut] for f, v in values.items()},
            {f: v[cut:] for f, v in values.items()},
            owner[:cut],
            owner[cut:],
            permutations=99,
            seed=run,
        )
        small += [one.p_value <= 0.05 for one in sorted(found, key=lambda one: one.field)]
    # 5% + 3.5 standard deviations
    assert (small / runs <= 0.105).all()
    assert small.sum() > 0


def test_missing_values_are_a_level_and_no_number() -> None:
    first = {"site": np.array(["A", None] * 20, dtype=object), "age": np.full(40, 3.0)}
    second = {"site": np.array(["A"] * 40, dtype=object), "age": np.array([np.nan, 3.0] * 20)}
    found = {one.field: one for one in metadata_distances(first, second, permutations=19)}
    assert found["site"].distance == pytest.approx(0.5)
    assert found["age"].distance == 0
    assert metadata_distances({"a": np.ones(3)}, {"b": np.ones(3)}) == ()


def sample(rng, n, shift=0.0, share=0.5):
    embeddings = rng.normal(size=(n, 6))
    embeddings[:, 0] += shift
    return embeddings, {"site": np.where(rng.random(n) < share, "A", "B")}


def test_pools_that_do_not_drift_are_called_drifted_seldom() -> None:
    rng = np.random.default_rng(1)
    verdicts = []
    for run in range(60):
        (old, old_fields), (late, late_fields) = sample(rng, 300), sample(rng, 120)
        found = drift(300, 120, old, late, old_fields, late_fields, seed=run)
        verdicts.append(found.verdict)
    assert verdicts.count("drifted") <= 5  # 5% + 1.2 standard deviations
    assert verdicts.count("represents") >= 20


def test_drift_of_embeddings_is_said_with_its_figure() -> None:
    rng = np.random.default_rng(2)
    (old, fields), (late, late_fields) = sample(rng, 900), sample(rng, 300, shift=1.5)
    found = drift(900, 300, old, late, fields, late_fields)
    assert found.verdict == "drifted"
    assert found.late_share == 0.25
    assert "a classifier tells them from the old by AUC 0.8" in found.text
    assert "site" not in found.text


def test_drift_of_a_field_is_said_without_embeddings_too() -> None:
    rng = np.random.default_rng(3)
    (_, fields), (_, late_fields) = sample(rng, 500), sample(rng, 200, share=0.9)
    found = drift(500, 200, old_metadata=fields, late_metadata=late_fields)
    assert found.verdict == "drifted"
    assert "site (total variation 0." in found.text


def test_a_difference_that_is_sure_but_small_still_represents() -> None:
    rng = np.random.default_rng(4)
    (old, fields), (late, late_fields) = sample(rng, 9_000), sample(rng, 5_000, 0.15, 0.55)
    found = drift(9_000, 5_000, old, late, fields, late_fields)
    assert found.separation is not None
    assert found.separation.low > 0.5
    assert found.verdict == "represents"
    assert "a shift is visible, but small" in found.text


def test_too_few_late_tasks_leave_it_open() -> None:
    rng = np.random.default_rng(5)
    (old, fields), (late, late_fields) = sample(rng, 500), sample(rng, 12)
    found = drift(500, 12, old, late, fields, late_fields)
    assert found.verdict == "undecided"
    assert "12 late tasks are too few" in found.text
    assert drift(500, 0).verdict == "undecided"
