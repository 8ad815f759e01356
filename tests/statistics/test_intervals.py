"""At a fixed time, 95 % intervals cover a known truth as often as they say."""

import numpy as np
import pytest

from backend.evaluation.agreement import cohens_kappa
from backend.evaluation.clustered_proportion import proportion, wilson
from backend.evaluation.prediction_powered import prediction_powered
from backend.evaluation.quantiles import normal_quantile
from backend.evaluation.rare_labels import rare_labels_per_100
from tests.statistics.bands import assert_share, runs, say
from tests.statistics.mixture import normal_below


def patients(rng, share, correlation, groups, size):
    """Hits of `groups` patients with `size` slices each, and the patient of each hit."""
    if correlation:
        strength = (1 - correlation) / correlation
        chances = rng.beta(share * strength, (1 - share) * strength, groups)
    else:
        chances = np.full(groups, share)
    hits = rng.random((groups, size)) < chances[:, None]
    return hits.ravel(), np.repeat(np.arange(groups), size)


def covers(found, truth):
    return found.low <= truth <= found.high


@runs(quick=600, full=20_000)
@pytest.mark.parametrize("share", [0.7, 0.9])
@pytest.mark.parametrize("items", [30, 60, 100, 400])
def test_ungrouped_accuracies(items, share, runs):
    rng = np.random.default_rng(items)
    found = [proportion(rng.random(items) < share) for _ in range(runs)]
    covered = np.mean([covers(one, share) for one in found])
    say("coverage", covered)
    # With few items the coverage jumps as whole hits enter or leave: only the lower end binds.
    assert_share(covered, runs, least=0.93, most=0.97 if items >= 100 else 1.0)


@runs(quick=600, full=10_000)
@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.35])
@pytest.mark.parametrize(("share", "groups"), [(0.8, 10), (0.8, 40), (0.9, 20), (0.95, 20)])
def test_accuracies_of_patients_with_ten_slices(share, groups, correlation, runs):
    rng = np.random.default_rng(groups)
    plain = clustered = 0
    z = normal_quantile(0.975)
    for _ in range(runs):
        hits, patient = patients(rng, share, correlation, groups, 10)
        clustered += covers(proportion(hits, patient), share)
        low, high = wilson(hits.mean(), len(hits), z)
        plain += low <= share <= high
    say("coverage", clustered / runs)
    say("plain", plain / runs)
    # Where hardly any patient has an error, their correlation is taken to be high: up to 98 %.
    assert_share(clustered / runs, runs, least=0.93, most=0.97 if share < 0.9 else 0.985)
    if correlation:
        assert plain / runs < {0.1: 0.91, 0.35: 0.75}[correlation]


@runs(quick=400, full=10_000)
@pytest.mark.parametrize("correlation", [0.1, 0.35])
def test_accuracies_of_patients_of_very_different_sizes(correlation, runs):
    """1 to 60 slices: intervals are a little short, and never far."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(runs):
        sizes = rng.geometric(0.1, 20)
        hits, _ = patients(rng, 0.85, correlation, 20, sizes.max())
        kept = (np.arange(sizes.max()) < sizes[:, None]).ravel()
        covered += covers(proportion(hits[kept], np.repeat(np.arange(20), sizes)), 0.85)
    say("coverage", covered / runs)
    assert_share(covered / runs, runs, least=0.92, most=0.97)


@runs(quick=500, full=10_000)
@pytest.mark.parametrize("target", ["pool", "part of a pool", "population"])
@pytest.mark.parametrize("size", [1, 10])
def test_prediction_powered_accuracies(size, target, runs):
    """200 labels of a pool of 1,000; the confidence knows something of the truth.

    Or of a pool of 2,000, where only a random half of it is known to be random.
    """
    rng = np.random.default_rng(size)
    total, labelled = (2_000 if target == "part of a pool" else 1_000) // size, 200 // size
    known = 1_000
    covered, narrower, counted = 0, [], 0
    for _ in range(runs):
        # The chance to be right differs between items and between patients.
        ability = rng.standard_normal((total, 1)) + 0.7 * rng.standard_normal((total, size))
        chance = normal_below(0.9 + ability)
        hits = rng.random((total, size)) < chance
        confidence = np.clip(chance + 0.1 * rng.standard_normal((total, size)), 0, 1)
        truth = EXPECTED if target == "population" else hits.mean()
        patient = np.repeat(np.arange(total), size) if size > 1 else None
        part = labelled * size
        found = prediction_powered(
            hits.ravel()[:part],
            confidence.ravel()[:part],
            confidence.ravel()[part:known],
            groups=None if patient is None else patient[:part],
            unlabelled_groups=None if patient is None else patient[part:known],
            target="population" if target == "population" else "pool",
            pool_size=total * size,
        )
        if found.reason is None:
            counted += 1
            covered += covers(found, truth)
            narrower.append(found.worth_labels / part)
    say("coverage", covered / counted)
    say("worth", float(np.mean(narrower)))
    assert counted > 0.99 * runs
    assert_share(covered / counted, counted, least=0.93, most=0.97)
    assert np.mean(narrower) > 1.2


# P(right) of the above: the chance that a normal number of variance 1 + 1 + 0.49 is below 0.9.
EXPECTED = float(normal_below(0.9 / np.sqrt(2.49)))


@runs(quick=500, full=10_000)
@pytest.mark.parametrize("kappa", [0.5, 0.9])
@pytest.mark.parametrize("size", [1, 10])
def test_kappa_of_two_annotators(size, kappa, runs):
    """Three classes; the second repeats the first, or guesses: by item, or by patient."""
    rng = np.random.default_rng(size)
    covered = 0
    for _ in range(runs):
        groups = 200 // size
        first = rng.integers(3, size=200)
        # Of each patient a share of its own is repeated: the mean is kappa.
        repeats = rng.beta(4 * kappa, 4 * (1 - kappa), groups) if size > 1 else np.full(200, kappa)
        copied = rng.random(200) < np.repeat(repeats, size)
        second = np.where(copied, first, rng.integers(3, size=200))
        patient = np.repeat(np.arange(groups), size) if size > 1 else None
        covered += covers(cohens_kappa(first, second, patient), kappa)
    say("coverage", covered / runs)
    assert_share(covered / runs, runs, least=0.93, most=0.97)


@runs(quick=500, full=10_000)
@pytest.mark.parametrize("size", [1, 5])
def test_rare_labels_per_hundred(size, runs):
    rng = np.random.default_rng(size)
    covered = 0
    for _ in range(runs):
        picks, of_picks = patients(rng, 0.2, 0.1 if size > 1 else 0.0, 400 // size, size)
        control, of_control = patients(rng, 0.08, 0.1 if size > 1 else 0.0, 100 // size, size)
        found = rare_labels_per_100(picks, control, of_picks, of_control)
        covered += covers(found, 12.0)
    say("coverage", covered / runs)
    assert_share(covered / runs, runs, least=0.93, most=0.98)
