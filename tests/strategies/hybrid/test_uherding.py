"""UHerding: between MaxHerding and margin."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, score, select
from strategies.hybrid.uherding import uherding
from strategies.kernels.herding import labelled_bandwidth
from strategies.picks import GAIN
from tests.strategies.coverage_oracle import clustered, gaussian, greedy_loop

RNG = np.random.default_rng(0)
EMBEDDINGS = clustered(400, 16, np.float32)
PROBABILITIES = RNG.dirichlet(np.ones(3) * 0.4, size=400)
LABELLED = clustered(20, 16, np.float32, seed=1)


def pool(**fields: object) -> Pool:
    given = {
        "embeddings": EMBEDDINGS,
        "probabilities": PROBABILITIES,
        "labelled_embeddings": LABELLED,
    }
    return Pool(**{**given, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("center", [True, False])
def test_picks_are_those_of_the_plain_loop(center: bool) -> None:
    expected, _ = greedy_loop(
        EMBEDDINGS,
        60,
        gaussian(1.0),
        labelled=LABELLED,
        weights=score("margin", pool()),
        centre=center,
    )
    assert select("uherding", pool(), 60, center=center).tolist() == expected


def test_equal_uncertainty_makes_it_max_herding() -> None:
    even = pool(probabilities=np.full((400, 2), 0.5))
    assert_array_equal(select("uherding", even, 40), select("max_herding", even, 40))


def test_a_tiny_bandwidth_makes_it_margin() -> None:
    assert_array_equal(select("uherding", pool(), 40, bandwidth=0.01), select("margin", pool(), 40))


def test_a_sure_crowd_gives_way_to_an_unsure_few() -> None:
    embeddings = np.repeat(np.array([[1.0, 0.0], [0.0, 1.0]]), [18, 2], axis=0)
    probabilities = np.repeat(np.array([[0.999, 0.001], [0.5, 0.5]]), [18, 2], axis=0)
    crowd = Pool(embeddings=embeddings, probabilities=probabilities)
    assert select("uherding", crowd, 1, center=False).tolist() == [18]
    assert select("max_herding", crowd, 1, center=False).tolist() == [0]


def test_gain_is_a_share_of_the_uncertainty_in_the_pool() -> None:
    found = uherding(EMBEDDINGS, PROBABILITIES, np.arange(400), 400)
    assert_allclose(found.details[GAIN].sum(), 1.0)


class TestAdaptiveBandwidth:
    """A low quantile of the labelled items' nearest-neighbour distances."""

    # Angles 0, 0 (the same item twice), 0.1, 0.4, 1.0: nearest that are not 0 at 0.1, 0.1, 0.1,
    # 0.3 and 0.6.
    angles = np.array([0.0, 0.0, 0.1, 0.4, 1.0])
    labelled = np.column_stack([np.cos(angles), np.sin(angles)])

    @pytest.mark.parametrize(("quantile", "angle"), [(0.0, 0.1), (0.75, 0.3), (1.0, 0.6)])
    def test_is_as_worked_out_by_hand(self, quantile: float, angle: float) -> None:
        found = labelled_bandwidth(self.labelled, self.labelled, False, quantile)
        assert found is not None
        assert_allclose(found, 2.0 * np.sin(angle / 2.0))

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_needs_two_different_labelled_items(self, count: int) -> None:
        labelled = self.labelled[:count]
        assert labelled_bandwidth(self.labelled, labelled, False, 0.05) is None
        few = pool(labelled_embeddings=np.repeat(LABELLED[:1], count, axis=0))
        assert_array_equal(
            select("uherding", few, 20, adaptive_quantile=0.05), select("uherding", few, 20)
        )

    def test_is_the_bandwidth(self) -> None:
        adapted = labelled_bandwidth(EMBEDDINGS, LABELLED, True, 0.05)
        assert_array_equal(
            select("uherding", pool(), 30, adaptive_quantile=0.05),
            select("uherding", pool(), 30, bandwidth=adapted),
        )
