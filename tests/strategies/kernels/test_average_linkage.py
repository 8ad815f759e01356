"""Average linkage: the same groups as looking for the nearest pair each time."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from strategies.kernels.average_linkage import average_linkage


def obvious(distances: np.ndarray, sizes: np.ndarray, count: int) -> np.ndarray:
    groups = [[start] for start in range(len(sizes))]

    def apart(left: list[int], right: list[int]) -> float:
        pairs = [(sizes[i] * sizes[j], distances[i, j]) for i in left for j in right]
        return sum(w * d for w, d in pairs) / sum(w for w, _ in pairs)

    while len(groups) > count:
        _, i, j = min(
            (apart(groups[i], groups[j]), i, j)
            for i in range(len(groups))
            for j in range(i + 1, len(groups))
        )
        groups[i] += groups.pop(j)
    numbers = np.empty(len(sizes), dtype=np.int64)
    for number, group in enumerate(sorted(groups, key=min)):
        numbers[group] = number
    return numbers


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [1, 3, 9, 20])
def test_groups_are_those_of_the_obvious_loop(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(20, 3))
    sizes = rng.integers(1, 6, size=20)
    distances = np.sqrt(((points[:, None] - points) ** 2).sum(axis=2))
    expected = obvious(distances, sizes, count)
    assert_array_equal(average_linkage(distances.copy(), sizes, count), expected)


def test_by_hand() -> None:
    # 0 and 1 join at 1; then {0, 1} is 3.5 from 4, and 10 is 6 from 4.
    line = np.array([0.0, 1.0, 4.0, 10.0])
    distances = np.abs(line[:, None] - line)
    assert average_linkage(distances.copy(), np.ones(4, int), 3).tolist() == [0, 0, 1, 2]
    assert average_linkage(distances.copy(), np.ones(4, int), 2).tolist() == [0, 0, 0, 1]
    # Heavier starts count for more: (9 * 4 + 3) / 10 = 3.9 against 3.5.
    assert average_linkage(np.zeros((3, 3)), np.ones(3, int), 1).tolist() == [0, 0, 0]
