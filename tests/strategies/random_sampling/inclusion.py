"""Whether the chances that a strategy reports are those with which it picks."""

from typing import Any

import numpy as np
from numpy.testing import assert_allclose

from strategies import Pool, parse
from strategies.picks import INCLUSION_PROBABILITY


def assert_reported_exactly(spec: Any, pool: Pool, size: int, draws: int = 1000) -> np.ndarray:
    """Draw again and again; returns the reported chances, 0 for what was never picked.

    Each item reports the same chance whenever it is picked, the chances sum to the size, and every
    item is picked as often as it says, to within five standard deviations.
    """
    parsed, rng = parse(spec), np.random.default_rng(0)
    times, reported = np.zeros(pool.n), np.zeros(pool.n)
    for _ in range(draws):
        found = parsed.select_with_branches(pool, size, rng)
        chances = [detail[INCLUSION_PROBABILITY] for detail in found.details]
        before = reported[found.indices]
        assert_allclose(before[before > 0], np.array(chances)[before > 0], rtol=1e-12)
        reported[found.indices] = chances
        times[found.indices] += 1
    assert_allclose(reported.sum(), size)
    deviation = np.sqrt(draws * reported * (1 - reported))
    assert (np.abs(times - draws * reported) <= 5 * deviation + 1e-9).all()
    return reported
