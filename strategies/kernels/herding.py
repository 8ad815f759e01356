"""Herding: greedy coverage by a Gaussian kernel between rows of length 1, with its explanations."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, row_blocks
from strategies.kernels.facility_greedy import CoveragePicks, CoverageProblem, greedy_coverage
from strategies.kernels.facility_rows import UnitRows, mean_row, placed
from strategies.kernels.facility_sample import even_sample, inclusion, projection
from strategies.kernels.facility_values import Gaussian
from strategies.kernels.products import Device
from strategies.picks import COVERED, GAIN, Picks

Doubles = npt.NDArray[np.float64]

# Above this median kernel between two items, any pick covers everything about equally well.
FLAT = 0.6
# What a bandwidth that tells items apart would make of that median.
SUITABLE = 0.3
# Items whose pairs give the median.
MEDIAN_ITEMS = 512
# Of a pool with more different rows than this, so many stand for all.
SAMPLE = 73_728
# So many while so little is covered that nearly every pair of them could gain.
BARE_SAMPLE = 8_192


@dataclass(frozen=True)
class Herding:
    """How items are compared: the kernel's bandwidth h, centring, the sample, the device."""

    bandwidth: float
    center: bool
    sample: int
    device: Device


def herding(
    embeddings: Floats,
    eligible: Indices,
    size: int,
    labelled: Floats | None,
    weights: Doubles,
    how: Herding,
) -> Picks:
    """Greedy maximum of sum_j u_j max_{i in L + S} exp(-|z_i - z_j|^2 / h^2) / sum_j u_j.

    embeddings  (n, d)
    eligible    (e,) int64 ascending, the candidates; every row of the pool is to be covered
    labelled    (m, d), L, or None
    weights     (n,) float64 >= 0, u_j
    returns     (size,) picks; details: gain (in the objective) and covered

    Time and memory as greedy_coverage and cover_by.
    """
    mean = mean_row(embeddings) if how.center else None
    value = Gaussian(how.bandwidth)
    problem = CoverageProblem(
        embeddings, weights, eligible, labelled, mean, value, how.sample, how.device, BARE_SAMPLE
    )
    found = greedy_coverage(problem, size)
    return picks_of(found, len(embeddings), warnings=_flat_kernel(embeddings, mean, value))


def picks_of(
    found: CoveragePicks, n: int, *, notes: tuple[str, ...] = (), warnings: tuple[str, ...] = ()
) -> Picks:
    """The picks of a coverage with their reasons."""
    if found.sampled:
        notes = (
            *notes,
            f"as few as {found.sampled:,} of {n:,} items, evenly spread, stood for the pool",
        )
    details = {GAIN: found.gains, COVERED: found.covered}
    return Picks(found.indices, details, notes=notes, warnings=warnings)


def labelled_bandwidth(
    embeddings: Floats, labelled: Floats | None, center: bool, quantile: float
) -> float | None:
    """A low quantile of the labelled items' nearest-neighbour distances that are not 0, or None.

    None where fewer than two different labelled rows are there. O(m^2 d) time, O(m d) memory.
    """
    if labelled is None or len(labelled) < 2:
        return None
    mean = mean_row(embeddings) if center else None
    rows = placed(np.array(labelled, dtype=np.float64, order="C"), mean)
    norms = np.einsum("ij,ij->i", rows, rows)
    nearest = np.empty(len(rows), dtype=np.float64)
    for part in row_blocks(len(rows), len(rows)):
        squares = norms[part, None] + norms - 2.0 * (rows[part] @ rows.T)
        # Below this, two rows are equal but for rounding.
        squares[squares <= 1e-12] = np.inf
        nearest[part] = squares.min(axis=1)
    distances = np.sqrt(nearest[np.isfinite(nearest)])
    return float(np.quantile(distances, quantile)) if len(distances) else None


def _flat_kernel(embeddings: Floats, mean: Doubles | None, value: Gaussian) -> tuple[str, ...]:
    items = spread_items(embeddings, mean, MEDIAN_ITEMS)
    rows = UnitRows(embeddings, items, mean).exact(np.arange(len(items)))
    if len(rows) < 2:
        return ()
    pairs = [
        value.exact(rows[:i], np.broadcast_to(rows[i], (i, rows.shape[1])))
        for i in range(len(rows))
    ]
    median = float(np.median(np.concatenate(pairs)))
    if median <= FLAT:
        return ()
    told = (
        f"the median kernel between two items is {median:.2f} (above {FLAT}): at bandwidth "
        f"{value.bandwidth:g} nearly every item covers nearly every other, so the picks hardly "
        "follow the data; "
    )
    mends = [] if mean is not None else ["set center to true"]
    if median < 1.0 - 1e-9:
        better = value.bandwidth * math.sqrt(math.log(median) / math.log(SUITABLE))
        mends.append(f"set bandwidth to about {better:.2g}")
    return (told + (" or ".join(mends) or "use embeddings that tell the items apart"),)


def spread_items(points: Floats, mean: Doubles | None, count: int) -> Indices:
    """At most `count` items spread evenly along a fixed projection: ascending, order-free."""
    n = len(points)
    if n <= count:
        return np.arange(n, dtype=np.int64)
    order = np.argsort(projection(points, mean), kind="stable")
    return even_sample(order, inclusion(np.zeros(n), count))
