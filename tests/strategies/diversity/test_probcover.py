"""ProbCover: greedy covering by balls, and the radius at which balls are pure."""

import numpy as np
import pytest

from strategies import Pool, select
from strategies.diversity.probcover import probcover, pure_radius
from strategies.picks import COVERED, GAIN
from tests.strategies.coverage_oracle import ball, clustered, greedy_loop


def seeded() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("labelled_count", [0, 8])
@pytest.mark.parametrize("delta", [0.3, 0.6, 1.2])
def test_picks_are_those_of_the_plain_loop(dtype: type, labelled_count: int, delta: float) -> None:
    embeddings = clustered(400, 12, dtype)
    labelled = clustered(labelled_count, 12, dtype, seed=1)
    pool = Pool(embeddings=embeddings, labelled_embeddings=labelled)
    expected, _ = greedy_loop(embeddings, 80, ball(delta), labelled=labelled, counts=True)
    assert select("probcover", pool, 80, seeded(), delta=delta).tolist() == expected


def test_counts_the_items_that_no_ball_held_before() -> None:
    angles = np.radians([0.0, 10.0, 20.0, 90.0, 100.0, 180.0])
    embeddings = np.column_stack([np.cos(angles), np.sin(angles)])
    # A ball of 15 degrees: the middle one of three; of two alike the first; the lone one.
    delta = 2.0 * np.sin(np.radians(15.0) / 2.0)
    found = probcover(embeddings, np.arange(6), 4, seeded(), delta=delta)
    assert found.indices.tolist() == [1, 3, 5, 0]
    assert found.details[COVERED].tolist() == [3, 2, 1, 0]
    assert found.details[GAIN].tolist() == [0.5, 2 / 6, 1 / 6, 0.0]


def test_an_item_on_the_edge_of_the_ball_is_outside() -> None:
    embeddings = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    pool = Pool(embeddings=embeddings, excluded=np.array([False, True, True]))
    found = probcover(embeddings, pool.eligible, 1, seeded(), delta=2.0)
    assert found.details[COVERED].tolist() == [2]


class TestRadius:
    """The largest radius at which most balls hold one pseudo-label only."""

    def fans(self, spread: float) -> np.ndarray:
        rng = np.random.default_rng(1)
        middles = np.repeat(np.radians([0.0, 90.0, 180.0]), 100)
        angles = middles + np.radians(spread) * rng.uniform(-1.0, 1.0, size=300)
        return np.column_stack([np.cos(angles), np.sin(angles)])

    def test_is_what_a_search_over_radii_finds(self) -> None:
        embeddings = self.fans(30.0)
        found = pure_radius(embeddings, 0.95, 3, seeded())
        label = np.repeat(np.arange(3), 100)
        distances = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)

        def purity(radius: float) -> float:
            mixed = (distances < radius) & (label[:, None] != label)
            return float((~mixed.any(axis=1)).mean())

        assert purity(found) >= 0.95
        assert purity(found * 1.05) < 0.95

    def test_a_purer_demand_never_makes_it_larger(self) -> None:
        embeddings = self.fans(44.0)
        radii = [pure_radius(embeddings, p, 3, seeded()) for p in (0.5, 0.8, 0.95, 1.0)]
        assert radii == sorted(radii, reverse=True)

    def test_is_said_in_a_note(self) -> None:
        found = probcover(self.fans(30.0), np.arange(300), 3, seeded(), classes=3)
        assert found.notes[0].startswith("delta ")
        assert sorted((found.indices // 100).tolist()) == [0, 1, 2]

    def test_one_pseudo_label_leaves_the_authors_starting_value(self) -> None:
        assert pure_radius(self.fans(30.0), 0.95, 1, seeded()) == 0.5
