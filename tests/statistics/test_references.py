"""The formulas against other implementations: ppi-python, glide-py, SciPy and statsmodels.

The table holds what they gave for the samples below; it is always checked. Where the packages are
installed, they are asked again. `python -m tests.statistics.test_references` prints a new table.
"""

import importlib.util
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from backend.evaluation.agreement import cohens_kappa
from backend.evaluation.clustered_proportion import proportion
from backend.evaluation.prediction_powered import prediction_powered
from backend.evaluation.quantiles import student_quantile

TABLE = Path(__file__).with_name("reference_values.json")
SIZES = ((120, 400), (150, 150), (300, 40))
FREEDOMS = (1, 2, 3.5, 4, 9, 19, 39, 120, 1000)
PROBABILITIES = (0.8, 0.975, 0.99375, 0.9995)
PROPORTIONS = ((0, 12), (3, 12), (45, 60), (100, 100))


def sample(n, pool):
    """Hits (n,), and a confidence that goes along with them, on n labels and `pool` others."""
    index = np.arange(n + pool, dtype=float)
    confidence = 0.5 + 0.5 * np.abs(np.sin(1.7 * index))
    right = np.modf(index * np.sqrt(7.0))[0] < 0.1 + 0.8 * confidence
    return right[:n], confidence[:n], confidence[n:]


def judgements(n):
    index = np.arange(n)
    first = index % 3
    return first, np.where(index % 5 == 0, (first + 1) % 3, first)


def from_ppi_python():
    """Ends of the interval at a given weight: its variances divide by n, not n - 1."""
    from ppi_py import ppi_mean_ci

    found = {}
    for n, pool in SIZES:
        y, f, rest = sample(n, pool)
        low, high = ppi_mean_ci(y.astype(float), f, rest, alpha=0.05)
        found[f"{n} of {n + pool}"] = [float(low[0]), float(high[0])]
    return found


def from_glide():
    from glide.estimators import PPIMeanEstimator

    found = {}
    for n, pool in SIZES:
        y, f, rest = sample(n, pool)
        truth = np.concatenate([y.astype(float), np.full(pool, np.nan)])
        ends = PPIMeanEstimator().estimate(truth, np.concatenate([f, rest])).confidence_interval
        found[f"{n} of {n + pool}"] = [
            float(ends.mean),
            float(ends.lower_bound),
            float(ends.upper_bound),
        ]
    return found


def from_scipy():
    from scipy import stats

    return {str(f): [float(stats.t.ppf(p, f)) for p in PROBABILITIES] for f in FREEDOMS}


def from_statsmodels():
    from statsmodels.stats.inter_rater import cohens_kappa as kappa
    from statsmodels.stats.proportion import proportion_confint

    counts = np.zeros((3, 3))
    np.add.at(counts, judgements(200), 1)
    found = kappa(counts)
    return {
        "wilson": {
            f"{k} of {n}": [float(end) for end in proportion_confint(k, n, 0.05, "wilson")]
            for k, n in PROPORTIONS
        },
        "kappa": [float(found.kappa), float(found.std_kappa)],
    }


SOURCES = {
    "ppi_py": ("ppi-python", from_ppi_python),
    "glide": ("glide-py", from_glide),
    "scipy": ("scipy", from_scipy),
    "statsmodels": ("statsmodels", from_statsmodels),
}


@pytest.fixture(params=["table", "installed"])
def values(request):
    """What the other implementation gives: from the table, and live where it is installed."""

    def of(module):
        if request.param == "table":
            return json.loads(TABLE.read_text(encoding="utf-8"))[module]["values"]
        pytest.importorskip(module)
        return SOURCES[module][1]()

    return of


def test_prediction_powered_inference_is_that_of_glide(values):
    expected = values("glide")
    for n, pool in SIZES:
        ours = prediction_powered(*sample(n, pool), target="population")
        assert 0 < ours.weight < 1
        assert [ours.value, ours.low, ours.high] == pytest.approx(expected[f"{n} of {n + pool}"])


def test_prediction_powered_inference_is_that_of_ppi_python(values):
    """But for n - 1 instead of n in its variances and its weight: under 1 % of the width."""
    expected = values("ppi_py")
    for n, pool in SIZES:
        ours = prediction_powered(*sample(n, pool), target="population")
        low, high = expected[f"{n} of {n + pool}"]
        assert [ours.low, ours.high] == pytest.approx([low, high], abs=0.01 * (high - low))


def test_student_quantiles_are_those_of_scipy(values):
    expected = values("scipy")
    for freedom in FREEDOMS:
        ours = [student_quantile(p, freedom) for p in PROBABILITIES]
        assert ours == pytest.approx(expected[str(freedom)], rel=1e-9)


def test_ungrouped_proportions_have_the_wilson_interval_of_statsmodels(values):
    expected = values("statsmodels")["wilson"]
    for k, n in PROPORTIONS:
        ours = proportion(np.arange(n) < k)
        assert [ours.low, ours.high] == pytest.approx(expected[f"{k} of {n}"], abs=1e-12)


def test_kappa_and_its_error_are_those_of_statsmodels(values):
    kappa, error = values("statsmodels")["kappa"]
    ours = cohens_kappa(*judgements(200))
    assert ours.kappa == pytest.approx(kappa)
    # Wilson's interval at n_eff is a little narrower and not centred; the error decides its width.
    assert (ours.high - ours.low) / (2 * 1.959964) == pytest.approx(error, rel=0.03)


if __name__ == "__main__":
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    for module, (package, compute) in SOURCES.items():
        if importlib.util.find_spec(module):
            table[module] = {"package": f"{package} {version(package)}", "values": compute()}
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
