"""EPIG: information about the answers that are asked for, against one einsum."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, StrategyError, score, select
from strategies.hybrid.epig import epig, information_about
from strategies.picks import GAIN
from tests.strategies.uncertainty.generated import generated_members


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def by_einsum(members: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The mean over targets of KL(p(y, y*) || p(y) p(y*)), all pairs at once."""
    joint = np.einsum("kic,kjd->ijcd", members, targets) / len(members)
    apart = np.einsum("ic,jd->ijcd", members.mean(axis=0), targets.mean(axis=0))
    ratio = np.divide(joint, apart, out=np.ones_like(joint), where=joint > 0)
    return (joint * np.log(ratio)).sum(axis=(2, 3)).mean(axis=1)


@given(generated_members())
def test_scores_are_those_of_the_einsum_and_between_0_and_bald(members: np.ndarray) -> None:
    n = members.shape[1]
    scores = information_about(members, np.arange(n), members)
    assert_allclose(scores, by_einsum(members, members), atol=1e-12)
    assert (scores >= 0.0).all()
    assert (scores <= score("bald", Pool(members=members)) + 1e-12).all()


@pytest.mark.parametrize("seed", range(3))
def test_picks_are_the_highest_of_the_einsum(seed: int) -> None:
    members = seeded(seed).dirichlet(np.full(4, 0.3), size=(5, 120))
    expected = by_einsum(members, members)
    picks = epig(members, np.arange(120), 15, seeded())
    assert_array_equal(picks.indices, np.argsort(-expected)[:15])
    assert_allclose(picks.details[GAIN], expected[picks.indices], atol=1e-12)


def test_stopping_at_the_bound_loses_no_pick() -> None:
    # More items than one step looks at, most of them with a BALD below the best EPIG.
    rng = seeded(4)
    members = np.repeat(rng.dirichlet(np.ones(2), size=(1, 900)), 4, axis=0)
    for half in (slice(0, 300), slice(300, 600)):
        members[:, half] = np.eye(2)[[0, 0, 1, 1]][:, np.newaxis] * 0.8 + 0.1
    members[:, 600:] += rng.normal(size=(4, 300, 1)) * [[[0.01, -0.01]]]
    members = np.abs(members) / np.abs(members).sum(axis=2, keepdims=True)
    picks = epig(members, np.arange(900), 5, seeded(), n_targets=900)
    best = np.sort(by_einsum(members, members))[::-1][:5]
    assert_allclose(picks.details[GAIN], best, atol=1e-12)


def test_an_item_that_tells_only_about_itself_loses_to_one_that_tells_about_many() -> None:
    votes = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 2], [1, 1, 1, 1, 3]])
    sure = np.eye(4)[votes]
    pool = Pool(members=sure)
    assert select("bald", pool, 1)[0] == 4
    # Item 4 tells as much about each of the others as they do, and more about itself; with the
    # others as the only targets it has no lead.
    targets = Pool(members=sure, metadata={"use": np.array(["yes"] * 4 + ["no"])})
    scores = epig(
        sure, np.arange(5), 5, seeded(), targets.metadata, columns=("use",), levels=("yes",)
    )
    assert_allclose(scores.details[GAIN], np.log(2))


def test_targets_are_a_sample_beyond_their_number_excluded_rows_among_them() -> None:
    members = seeded(1).dirichlet(np.ones(3), size=(4, 60))
    picks = epig(members, np.arange(10), 10, seeded(8), n_targets=20)
    rows = np.sort(seeded(8).choice(np.arange(60), size=20, replace=False))
    expected = by_einsum(members[:, :10], members[:, rows])
    assert_allclose(picks.details[GAIN], np.sort(expected)[::-1], atol=1e-12)


def test_candidates_limit_what_is_looked_at() -> None:
    members = seeded(1).dirichlet(np.ones(3), size=(4, 60))
    picks = epig(members, np.arange(60), 3, seeded(), candidates=6)
    assert set(picks.indices) <= set(select("bald", Pool(members=members), 6))


def test_one_member_knows_nothing_to_ask_about() -> None:
    members = seeded(1).dirichlet(np.ones(3), size=(1, 20))
    assert_array_equal(epig(members, np.arange(20), 20, seeded()).details[GAIN], 0.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"columns": ["site"]}, r"1 columns and 0 levels"),
        ({"columns": ["side"], "levels": ["a"]}, r"'side', which the metadata lacks .*site"),
        ({"columns": ["site"], "levels": ["c"]}, r"no row with site = c"),
    ],
)
def test_targets_that_are_not_there_are_refused(
    parameters: dict[str, object], message: str
) -> None:
    members = seeded(1).dirichlet(np.ones(3), size=(2, 4))
    pool = Pool(members=members, metadata={"site": np.array(["a", "b", "a", "b"])})
    with pytest.raises(StrategyError, match=message):
        select("epig", pool, 1, seeded(), **parameters)


def test_what_memory_does_not_allow_is_refused_with_the_way_out() -> None:
    members = np.broadcast_to(np.full(1000, 1e-3, dtype=np.float32), (200, 400, 1000))
    with pytest.raises(StrategyError, match=r"lower n_targets to at most 335"):
        epig(members, np.arange(400), 1, seeded(), n_targets=400)
