"""How many runs a simulation takes, and how far its figure may stray by their number alone."""

import math

import pytest

STRAY = 3  # standard errors of a simulated share: a right method fails a band once in 700


def runs(quick, full):
    """`quick` runs in the default tests, `full` under `make test-statistics`."""
    marks = (pytest.mark.statistics, pytest.mark.slow)
    return pytest.mark.parametrize(
        "runs", [pytest.param(quick, id="quick"), pytest.param(full, id="full", marks=marks)]
    )


def say(name, figure):
    """Print what was measured; `make test-statistics` shows it of tests that pass too."""
    print(f"{name} {figure:.4f}")


def assert_share(share, runs, least=0.0, most=1.0):
    """The share of `runs` lies in least..most, but for the chance of so many runs."""
    below = STRAY * math.sqrt(least * (1 - least) / runs)
    above = STRAY * math.sqrt(most * (1 - most) / runs)
    assert least - below <= share <= most + above, f"{share:.4f} of {runs} runs"
