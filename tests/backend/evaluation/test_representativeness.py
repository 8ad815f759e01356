"""Representativeness: random draws stay, in 95 of 100 cases; draws that are not random do not."""

import numpy as np
import pytest

from backend.evaluation.covariates import covariates
from backend.evaluation.representativeness import representativeness


def pool(rng, n):
    site = rng.choice(["A", "B", "C"], n, p=[0.6, 0.3, 0.1])
    embeddings = rng.normal(size=(n, 12)) + (site == "C")[:, None] * 2
    return covariates({"site": site, "size": rng.lognormal(size=n)}, embeddings, directions=5)


def random_groups(rng, groups, size):
    """Whole groups in random order for as long as they fit."""
    chosen: list[int] = []
    for group in rng.permutation(np.unique(groups)):
        members = np.flatnonzero(groups == group)
        if len(chosen) + len(members) > size:
            break
        chosen += members.tolist()
    return np.array(chosen)


def test_a_random_draw_is_drawn_again_in_about_five_of_a_hundred_cases() -> None:
    rng = np.random.default_rng(0)
    compared = pool(rng, 2_000)
    runs = 400
    again = sum(
        representativeness(
            compared, rng.choice(2_000, 100, replace=False), draws=99, seed=run
        ).redraw
        for run in range(runs)
    )
    # 5% ± 3.3 standard deviations
    assert 0.014 < again / runs < 0.086


def test_groups_and_strata_are_drawn_as_the_draw_was() -> None:
    """Groups alike in themselves: draws by row would look far too even."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(200), rng.integers(1, 12, 200))
    n = len(groups)
    embeddings = rng.normal(size=(200, 6))[groups] + 0.1 * rng.normal(size=(n, 6))
    compared = covariates({}, embeddings)
    strata = np.where(groups < 50, "rare", "common")
    drawn = np.concatenate(
        [
            np.flatnonzero(strata == name)[random_groups(rng, groups[strata == name], size)]
            for name, size in (("rare", 80), ("common", 90))
        ]
    )
    kwargs = {"groups": groups, "strata": strata}
    by_group = [representativeness(compared, drawn, seed=s, **kwargs) for s in range(2)]
    by_row = representativeness(compared, drawn)
    assert not by_group[0].redraw
    assert by_group[0].limit == pytest.approx(by_group[1].limit, rel=0.2)
    assert by_group[0].limit > 1.4 * by_row.limit

    runs = 200
    again = 0
    for run in range(runs):
        one = random_groups(rng, groups, 150)
        again += representativeness(compared, one, groups=groups, draws=99, seed=run).redraw
    assert again / runs < 0.105  # 5% + 3.5 standard deviations


def test_a_draw_from_one_site_is_drawn_again() -> None:
    rng = np.random.default_rng(2)
    site = rng.choice(["A", "B"], 3_000, p=[0.9, 0.1])
    compared = covariates({"site": site}, rng.normal(size=(3_000, 4)))
    found = representativeness(compared, np.flatnonzero(site == "B")[:100])
    assert found.redraw
    assert found.differences[0].name in ("site = A", "site = B")
    assert found.largest == pytest.approx(abs(found.differences[0].value))
    assert "so it is less like the pool than most" in found.text
    alike = representativeness(compared, rng.choice(3_000, 300, replace=False), seed=5)
    assert "it represents the pool" in alike.text


def test_nothing_to_compare_asks_for_no_other_draw() -> None:
    found = representativeness(covariates({"same": np.ones(9)}), [1, 2])
    assert not found.redraw
    assert "no metadata or embedding" in found.text


def test_values_that_do_not_fit_are_refused() -> None:
    compared = covariates({"size": np.arange(9.0)})
    with pytest.raises(ValueError, match="drawn: expected rows"):
        representativeness(compared, [9])
    with pytest.raises(ValueError, match="at least 19"):
        representativeness(compared, [1], draws=5)
    with pytest.raises(ValueError, match="do not fit 9 rows"):
        representativeness(compared, [1], groups=np.arange(3))
