"""BatchBALD: greedy joint information, against enumeration of every outcome."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, StrategyError, score, select
from strategies.hybrid import batch_bald as module
from strategies.hybrid.batch_bald import batch_bald
from strategies.picks import GAIN
from tests.strategies.uncertainty.generated import entropy_of, generated_members


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def joint_information(members: np.ndarray, batch: list[int]) -> float:
    """I(y_S; w) by summing over every combination of labels."""
    count, _, classes = members.shape
    outcomes = []
    for labels in itertools.product(range(classes), repeat=len(batch)):
        likelihoods = [
            np.prod([members[j, i, y] for i, y in zip(batch, labels, strict=True)])
            for j in range(count)
        ]
        outcomes.append(np.mean(likelihoods))
    own = sum(entropy_of(members[j, i]) for j in range(count) for i in batch) / count
    return entropy_of(np.array(outcomes)) - own


def greedy(members: np.ndarray, size: int) -> tuple[list[int], list[float]]:
    batch: list[int] = []
    reached = [0.0]
    for _ in range(size):
        left = [i for i in range(members.shape[1]) if i not in batch]
        values = [joint_information(members, [*batch, i]) for i in left]
        best = int(np.argmax(values))
        batch.append(left[best])
        reached.append(values[best])
    return batch, np.diff(reached).tolist()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("count", "classes", "size"), [(2, 2, 5), (5, 3, 4), (8, 2, 6)])
def test_picks_and_gains_are_those_of_full_enumeration(
    seed: int, count: int, classes: int, size: int
) -> None:
    members = seeded(seed).dirichlet(np.ones(classes), size=(count, 9))
    picks = batch_bald(members, np.arange(9), size, seeded())
    expected, gains = greedy(members, size)
    assert picks.indices.tolist() == expected
    assert_allclose(picks.details[GAIN], gains, atol=1e-10)


def test_sampled_gains_are_near_the_enumerated_ones() -> None:
    members = seeded(3).dirichlet(np.ones(3), size=(6, 12))
    exact = batch_bald(members, np.arange(12), 7, seeded())
    assert exact.indices.tolist() == greedy(members, 7)[0]
    # 27 configurations are exact for four picks; 400 draws stand for the 729 of the last.
    sampled = batch_bald(members, np.arange(12), 7, seeded(), configurations=27, samples=400)
    assert_array_equal(sampled.indices[:4], exact.indices[:4])
    assert_allclose(sampled.details[GAIN], exact.details[GAIN], rtol=0.1)
    reached = joint_information(members, sampled.indices.tolist())
    assert reached >= 0.99 * joint_information(members, exact.indices.tolist())


def test_the_sampled_gain_is_unbiased() -> None:
    members = seeded(3).dirichlet(np.ones(3), size=(6, 12))
    block = np.ascontiguousarray(members[:, 5:6])
    truth = joint_information(members, [0, 1, 2, 5]) - joint_information(members, [0, 1, 2])
    estimates = np.empty(300)
    for i in range(len(estimates)):
        joint = module._Joint(6, 1, 8)
        for item in range(3):
            joint.extend(members[:, item], seeded(100 * i + item))
        estimates[i] = joint.gains(block, np.float64)[0]
    assert abs(estimates.mean() - truth) < 5 * estimates.std() / np.sqrt(len(estimates))


@given(generated_members(most=(4, 8, 3)))
@settings(max_examples=50)
def test_one_pick_is_that_of_bald(members: np.ndarray) -> None:
    scores = score("bald", Pool(members=members))
    pick = select("batch_bald", Pool(members=members), 1, seeded())[0]
    assert scores[pick] == scores.max()


@given(generated_members(most=(4, 6, 3), least=2), st.integers(2, 6))
@settings(max_examples=50)
def test_joint_information_never_falls_and_stays_below_the_log_of_the_members(
    members: np.ndarray, size: int
) -> None:
    size = min(size, members.shape[1])
    picks = batch_bald(members, np.arange(members.shape[1]), size, seeded())
    values = [joint_information(members, picks.indices[:t].tolist()) for t in range(size + 1)]
    assert (np.diff(values) >= -1e-9).all()
    assert values[-1] <= np.log(len(members)) + 1e-9
    assert (picks.details[GAIN] >= 0.0).all()


def test_a_copy_of_a_pick_comes_later_than_it_does_by_bald() -> None:
    rng = seeded(1)
    members = rng.dirichlet(np.ones(2), size=(8, 20))
    top = int(score("bald", Pool(members=members)).argmax())
    doubled = np.concatenate([members, members[:, [top, top, top]]], axis=1)
    by_bald = select("bald", Pool(members=doubled), 4)
    assert sorted(by_bald) == sorted([top, 20, 21, 22])
    by_batch = select("batch_bald", Pool(members=doubled), 4, seeded())
    assert by_batch[0] == top
    assert set(by_batch[1:3]).isdisjoint({20, 21, 22})


def test_a_new_joint_begins_when_the_members_are_told_apart() -> None:
    votes = np.array([[0, 0, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]])
    picks = batch_bald(np.eye(2)[votes], np.arange(4), 4, seeded())
    assert picks.indices.tolist() == [0, 2, 1, 3]
    full, partial = np.log(2), np.log(2) / 2
    assert_allclose(picks.details[GAIN], [full, full, full, partial], atol=1e-9)
    assert len(picks.notes) == 1
    assert "After 2 picks" in picks.notes[0]


@pytest.mark.parametrize("count", [1, 3])
def test_members_that_agree_leave_the_batch_to_chance(count: int) -> None:
    members = np.repeat(seeded().dirichlet(np.ones(3), size=(1, 30)), count, axis=0)
    batches = {tuple(select("batch_bald", Pool(members=members), 3, seeded(i))) for i in range(20)}
    assert len(batches) > 10


def test_what_memory_does_not_allow_is_refused_with_the_way_out() -> None:
    members = np.full((5000, 2, 4), 0.25, dtype=np.float32)
    with pytest.raises(StrategyError, match=r"lower configurations and samples to at most 13,411"):
        select("batch_bald", Pool(members=members), 1, seeded(), configurations=100_000)


def test_only_the_candidates_of_highest_bald_are_looked_at() -> None:
    members = seeded(2).dirichlet(np.ones(3), size=(4, 40))
    highest = select("bald", Pool(members=members), 10)
    picks = select("batch_bald", Pool(members=members), 5, seeded(), candidates=10)
    assert set(picks) <= set(highest)
    # The batch itself is a floor: no fewer than its size.
    assert len(select("batch_bald", Pool(members=members), 12, seeded(), candidates=1)) == 12
