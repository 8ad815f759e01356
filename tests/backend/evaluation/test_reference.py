"""A reference: figures reweighted to it hold the truth, or are refused in words."""

import numpy as np
import pytest

from backend.evaluation.reference import (
    Sample,
    Weights,
    compare_with_reference,
    importance_weights,
    reweighted_accuracy,
    verdict,
)


def chance_of_right(rows):
    """The model is better at large values of the first column."""
    return 1 / (1 + np.exp(-(0.5 + 1.2 * rows[:, 0])))


def drawn(rng, n, shift=0.0):
    rows = rng.normal(size=(n, 6))
    rows[:, 0] -= shift
    return rows


@pytest.mark.parametrize("shift", [0.0, 0.5, 0.8])
def test_the_reweighted_accuracy_holds_the_truth_on_the_reference(shift: float) -> None:
    rng = np.random.default_rng(int(10 * shift))
    truth = chance_of_right(drawn(rng, 300_000, shift)).mean()
    runs, held, given, raw_held = 60, 0, 0, 0
    for run in range(runs):
        pool, reference = drawn(rng, 1_500), drawn(rng, 800, shift)
        items = rng.choice(1_500, 300, replace=False)
        right = rng.random(300) < chance_of_right(pool[items])
        weights = importance_weights(pool, reference, None, items, run)
        found = reweighted_accuracy(right, weights)
        if found.value is None:
            continue
        given += 1
        held += found.low <= truth <= found.high
        raw_held += abs(right.mean() - truth) < 0.055
    assert given >= 0.8 * runs
    assert held / given >= 0.95 - 3 * (0.95 * 0.05 / given) ** 0.5
    if shift == 0.8:
        assert raw_held / given < 0.2  # unweighted, it misses


def test_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    owner = np.repeat(np.arange(60), 5)
    right = (rng.random(60) < 0.7)[owner]
    weights = importance_weights(drawn(rng, 300), drawn(rng, 300), owner)
    alone, grouped = (reweighted_accuracy(right, weights, groups) for groups in (None, owner))
    assert alone.value == grouped.value
    assert grouped.high - grouped.low > 1.7 * (alone.high - alone.low)


def test_a_reference_far_from_everything_measured_is_refused() -> None:
    """The items' own weights look fine there; the reference lies beyond them all."""
    rng = np.random.default_rng(2)
    weights = importance_weights(drawn(rng, 400), drawn(rng, 400, shift=30))
    assert weights.uncovered > 0.9
    found = reweighted_accuracy(np.ones(400, dtype=bool), weights)
    assert found.value is None
    assert "of the reference is unlike every labelled item" in found.text
    assert "Label a random sample of the reference" in found.text


def test_too_little_weight_to_speak_of_is_refused() -> None:
    rng = np.random.default_rng(3)
    few = importance_weights(drawn(rng, 200), drawn(rng, 300), items=np.arange(20))
    assert few.refusal is not None
    assert "needed: 30 and 10%" in few.refusal
    assert importance_weights(drawn(rng, 0), drawn(rng, 9)).refusal is not None


def test_weights_sum_to_the_items_and_rise_towards_the_reference() -> None:
    rng = np.random.default_rng(4)
    rows = drawn(rng, 2_000)
    weights = importance_weights(rows, drawn(rng, 2_000, shift=0.7))
    assert weights.values.sum() == pytest.approx(2_000)
    # True weights are exp(-0.7 x − 0.245), with effective share exp(-0.49).
    assert np.corrcoef(np.log(weights.values), -rows[:, 0])[0, 1] > 0.9
    assert weights.effective_size / 2_000 == pytest.approx(np.exp(-0.49), abs=0.1)


def test_equal_weights_give_the_plain_accuracy() -> None:
    right = np.arange(200) < 150
    found = reweighted_accuracy(right, Weights(np.ones(200), 200.0, 1 / 200, 0.0, None))
    assert found.value == pytest.approx(0.75)
    assert (found.low, found.high) == pytest.approx((0.6857, 0.8050), abs=2e-3)  # Wilson
    with pytest.raises(ValueError, match="do not fit"):
        reweighted_accuracy(right[:5], Weights(np.ones(4), 4.0, 0.25, 0.0, None))


def test_every_set_is_compared_by_the_same_measures() -> None:
    rng = np.random.default_rng(5)

    def sample(n, shift, site):
        fields = {"site": np.array([site] * n)}
        return Sample(drawn(rng, n, shift), fields)

    found = compare_with_reference(
        {"pool": sample(300, 2.0, "A"), "training": sample(80, 0.0, "B")}, sample(200, 0.0, "B")
    )
    assert found["pool"].separation.low > 0.75
    assert found["pool"].fields[0].distance == 1.0
    assert found["training"].separation.low < 0.55
    assert found["training"].fields[0].distance == 0.0
    bare = compare_with_reference({"pool": Sample()}, Sample())["pool"]
    assert (bare.separation, bare.fields) == (None, ())


def wide(rng: np.random.Generator, n: int, shift: float) -> np.ndarray:
    """The same shift among 150 directions in which nothing happens."""
    return np.column_stack([drawn(rng, n, shift), 0.1 * rng.normal(size=(n, 150))])


def test_in_many_dimensions_the_figure_still_moves_to_the_truth() -> None:
    """A discriminant in all 156 directions would be noise, and its weights all the same."""
    rng = np.random.default_rng(5)
    truth = chance_of_right(drawn(rng, 300_000, 0.8)).mean()
    held = given = 0
    for run in range(15):
        pool, reference = wide(rng, 1_000, 0.0), wide(rng, 300, 0.8)
        right = rng.random(300) < chance_of_right(pool[:300])
        weights = importance_weights(pool, reference, None, np.arange(300), run)
        found = reweighted_accuracy(right, weights)
        if found.value is not None:
            given += 1
            held += found.low <= truth <= found.high
    assert given >= 12
    assert held >= given - 2


def test_weights_that_leave_the_items_away_from_the_reference_are_refused() -> None:
    """300 rows teach six directions; what differs in another is seen and not mended."""
    rng = np.random.default_rng(6)
    spread = np.linspace(2.0, 1.0, 12)
    pool, reference = (rng.normal(size=(n, 12)) * spread for n in (900, 300))
    reference[:, 9] += 0.7
    weights = importance_weights(pool, reference, None, np.arange(300))
    assert weights.left > 0.5
    assert "standard deviations away from it" in weights.refusal


def test_a_row_that_stands_on_both_sides_is_weighted_by_discriminants_that_saw_neither() -> None:
    """Else each row of the reference pulls its own copy in the pool the wrong way."""
    for run in range(5):
        rng = np.random.default_rng(run)
        pool = rng.normal(size=(1_500, 12))
        inside = np.flatnonzero(rng.random(1_500) < 1 / (1 + np.exp(-0.3 * pool[:, 0])))
        names = np.arange(1_500).astype(str)
        known, unknown = (
            importance_weights(pool, pool[inside], names, reference_groups=groups)
            for groups in (names[inside], None)
        )
        wanted = pool[inside, 0].mean()
        means = [weights.values @ pool[:, 0] / 1_500 for weights in (unknown, known)]
        assert means[0] < means[1] < wanted


@pytest.mark.parametrize(
    ("shift", "expected"), [(0.0, "alike"), (1.5, "differs"), (0.35, "undecided")]
)
def test_the_verdict_goes_by_the_whole_interval(shift: float, expected: str) -> None:
    rng = np.random.default_rng(8)
    size = 40 if expected == "undecided" else 600
    sets = {"pool": Sample(drawn(rng, size)), "few": Sample(drawn(rng, 5))}
    found = compare_with_reference(sets, Sample(drawn(rng, size, shift)))
    assert verdict(found["pool"])[0] == expected
    assert "AUC" in verdict(found["pool"])[1]
    assert verdict(found["few"]) == ("undecided", "too few to tell")
