"""MaxHerding: coverage by a Gaussian kernel, the plain loop's picks, and the narrow cone."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, select
from strategies.diversity.max_herding import max_herding
from strategies.picks import COVERED, GAIN
from tests.strategies.coverage_oracle import clustered, gaussian, greedy_loop


def narrow_cone(n: int = 400, dimensions: int = 24) -> np.ndarray:
    """Outputs of an encoder whose common offset hides ten clusters."""
    offset = 20.0 * np.ones(dimensions)
    return clustered(n, dimensions, np.float64, clusters=10, spread=0.2) + offset


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("bandwidth", [0.4, 1.0])
@pytest.mark.parametrize("labelled_count", [0, 25])
def test_picks_are_those_of_the_plain_loop(
    center: bool, bandwidth: float, labelled_count: int
) -> None:
    embeddings = clustered(500, 20, np.float32)
    labelled = clustered(labelled_count, 20, np.float32, seed=1)
    pool = Pool(embeddings=embeddings, labelled_embeddings=labelled)
    picks = select("max_herding", pool, 60, center=center, bandwidth=bandwidth)
    expected, _ = greedy_loop(embeddings, 60, gaussian(bandwidth), labelled=labelled, centre=center)
    assert picks.tolist() == expected


def test_explains_each_pick_by_its_gain_and_by_how_many_items_it_covers_better() -> None:
    embeddings = clustered(200, 6, np.float64)
    picks = max_herding(embeddings, np.arange(200), 30)
    _, objectives = greedy_loop(embeddings, 30, gaussian(1.0), centre=True)
    assert_allclose(np.cumsum(picks.details[GAIN]), objectives)
    # The first covers every item better than nothing does.
    assert picks.details[COVERED][0] == 200
    assert (np.diff(picks.details[COVERED][[0, 10, 29]]) < 0).all()


def test_a_longer_batch_begins_with_the_shorter_one() -> None:
    pool = Pool(embeddings=clustered(300, 8, np.float32))
    assert_array_equal(select("max_herding", pool, 50)[:20], select("max_herding", pool, 20))


def test_excluded_items_are_covered_all_the_same() -> None:
    # Nine excluded items lie around item 9, the lone item 10 may be picked too.
    embeddings = np.array([[1.0, 0.01 * i] for i in range(9)] + [[1.0, 0.05], [-1.0, 0.0]])
    pool = Pool(embeddings=embeddings, excluded=np.arange(11) < 9)
    assert select("max_herding", pool, 1, center=False).tolist() == [9]


class TestNarrowCone:
    """The cosine between any two items is near 1: a bandwidth of 1 tells nothing apart."""

    def test_without_centring_it_is_warned_of(self) -> None:
        (warning,) = max_herding(narrow_cone(), np.arange(400), 5, center=False).warnings
        assert "median kernel" in warning
        assert "set center to true or set bandwidth to about" in warning

    def test_centring_mends_it(self) -> None:
        assert max_herding(narrow_cone(), np.arange(400), 5).warnings == ()

    def test_so_does_the_bandwidth_that_the_warning_names(self) -> None:
        embeddings = narrow_cone()
        (warning,) = max_herding(embeddings, np.arange(400), 5, center=False).warnings
        better = float(warning.split("bandwidth to about ")[1])
        found = max_herding(embeddings, np.arange(400), 5, center=False, bandwidth=better)
        assert found.warnings == ()

    def test_the_first_pick_then_covers_a_part_of_the_pool_instead_of_nearly_all(self) -> None:
        embeddings = narrow_cone()
        flat = max_herding(embeddings, np.arange(400), 10, center=False).details[GAIN]
        centred = max_herding(embeddings, np.arange(400), 10).details[GAIN]
        assert flat[0] > 0.9
        assert flat[1:].sum() < 0.1
        assert centred[0] < 0.4
        assert centred[1:].sum() > 0.4

    def test_items_that_are_all_alike_cannot_be_mended(self) -> None:
        embeddings = np.full((30, 4), 0.1)
        (warning,) = max_herding(embeddings, np.arange(30), 3).warnings
        assert "use embeddings that tell the items apart" in warning


def test_a_pool_beyond_the_sample_says_so() -> None:
    picks = max_herding(clustered(300, 5, np.float32), np.arange(300), 5, sample=100)
    assert picks.notes == ("as few as 100 of 300 items, evenly spread, stood for the pool",)
