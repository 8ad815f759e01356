"""FALCUN: uncertain items that differ from each other, both read off the predictions alone."""

from typing import Annotated, TypeAlias

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, row_blocks
from strategies.kernels.median_blocks import median_blocks
from strategies.parameters import Interval
from strategies.picks import DISTANCE, Picks
from strategies.uncertainty.margin import margin

Float32s = npt.NDArray[np.float32]

UNCERTAINTY = "uncertainty"  # 1 - (p(1) - p(2)) of the pick
BLOCK_ITEMS = 64
# Blocks that a pick is compared with at once.
BLOCKS_A_PICK = 16
# How far float32 may be off in a distance: what is nearer counts as within reach.
ROUNDING = 1e-5
# The D of what is picked already, and of the places that fill up the last block.
GONE = -1.0


def falcun(
    probabilities: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    gamma: Annotated[float, Interval(least=0)] = 10.0,
) -> Picks:
    """Draw each pick with P(i) = (u_i + D~_i)^gamma / sum_j (u_j + D~_j)^gamma, j not yet picked.

    u_i = 1 - (p_i(1) - p_i(2)) is the margin uncertainty; D_i = min(u_i, min_{s picked} |p_i -
    p_s|_1); D~ is D scaled to [0, 1] by its minimum and maximum over what is not yet picked (0
    where these are equal). Once every D_i is 0 the rest is drawn uniformly. Distances are in the
    space of predictions: that makes it the cheapest of the hybrids.

    probabilities  (n, c), p
    eligible       (e,) int64, the items that may be picked; 1 <= size <= e
    gamma          0 draws uniformly, infinity would take the highest
    returns        (size,) int64 in the order of picking; details: `uncertainty`, u_i, and
                   `distance`, D_i at the moment of the pick

    The distribution is exact, up to rounding, without D being known for all: an item is proposed by
    the weight that an old D_i gives it, only then is D_i brought up to date, and the item accepted
    with the probability that the true weight is of the old one. The maximum of D is followed by
    bringing up to date what may exceed it; the minimum is known within bounds that nearly always
    settle the question. The pool lies in blocks of near predictions, and each pick is compared at
    once with the blocks around it, which it changes most.

    About O(e size / BLOCK_ITEMS c) time where that serves, O(e size c) at worst; O(e c) memory.

    probabilities  (n, c), p
    eligible       (e,) int64, the items that may be picked; 1 <= size <= e
    gamma          0 draws uniformly, infinity would take the highest
    returns        (size,) int64 in the order of picking; details: `uncertainty`, u_i, and
                   `distance`, D_i at the moment of the pick

    The pool lies in blocks of near predictions; a pick is compared with those that it can be
    nearer to than D_i, by the bounds of the block's predictions, and the other weights are kept as
    long as the scale of D~ is. O(size e c) time at worst; O(e c) memory, in float32.

    Source: Gilhuber, Beer, Ma and Seidl, FALCUN: A Simple and Efficient Deep Active Learning
    Strategy, ECML PKDD 2024, equations 1 to 6; gamma as in the authors' configuration.
    """
    pool = _Blocks(probabilities, eligible, size, gamma)
    picks = np.empty(size, dtype=np.int64)
    uncertainties = np.empty(size)
    distances = np.empty(size)
    for t in range(size):
        place = pool.drawn(rng)
        picks[t] = eligible[pool.items[place]]
        uncertainties[t] = pool.uncertainty[place]
        distances[t] = pool.distance[place]
        pool.pick(place)
    return Picks(picks, {UNCERTAINTY: uncertainties, DISTANCE: distances})


Place: TypeAlias = tuple[int, int]  # a block, and a place in it


class _Blocks:
    """The items in b blocks of s near predictions: (b, s) arrays of u, of D or more, and weights.

    `distance` is D once an item has met all picks (`met`), and more than D before that. `highest`
    is the exact maximum of D, at the item `witness`; the minimum lies in [least, least_known].
    """

    def __init__(self, probabilities: Floats, eligible: Indices, size: int, gamma: float) -> None:
        count, classes = len(eligible), probabilities.shape[1]
        self.gamma = gamma
        width = min(BLOCK_ITEMS, count)
        blocks = -(-count // width)
        flat = np.empty((count, classes + 1), dtype=np.float32)
        for rows in row_blocks(count, classes):
            flat[rows, :classes] = probabilities[eligible[rows]]
            flat[rows, classes] = margin(probabilities[eligible[rows]])
        order = median_blocks(flat, width)
        # The last block is filled up with copies of its last item, which are gone from the start.
        filled = np.append(order, np.full(blocks * width - count, order[-1]))
        self.items = filled.reshape(blocks, width)
        self.columns: Float32s = np.empty((blocks, classes, width), dtype=np.float32)
        for rows in row_blocks(blocks, classes * width):
            self.columns[rows] = flat[self.items[rows], :classes].transpose(0, 2, 1)
        self.uncertainty: Float32s = flat[self.items, classes]
        self.lower: Float32s = np.ascontiguousarray(self.columns.min(axis=2).T)
        self.upper: Float32s = np.ascontiguousarray(self.columns.max(axis=2).T)
        self.distance: Float32s = self.uncertainty.copy()
        self.distance.reshape(-1)[count:] = GONE
        self.met = np.zeros((blocks, width), dtype=np.int32)
        self.picked: Float32s = np.empty((classes, size), dtype=np.float32)
        self.pick_count = 0
        self.block_least: Float32s = np.empty(blocks, dtype=np.float32)
        self.block_highest: Float32s = np.empty(blocks, dtype=np.float32)
        self.weights: Float32s = np.zeros((blocks, width), dtype=np.float32)
        self.totals = np.zeros(blocks)
        self._note(np.arange(blocks))
        self.witness: Place = (0, 0)
        self._find_highest()
        self.least = self.least_known = float(self.block_least.min())
        self._weigh_all()

    def drawn(self, rng: np.random.Generator) -> Place:
        """An item, drawn by its true weight."""
        while True:
            if self.highest <= 0.0:
                # D is 0 wherever something is left.
                left = np.argwhere(self.distance >= 0.0)
                block, position = left[rng.integers(len(left))]
                return int(block), int(position)
            cumulative = np.cumsum(self.totals)
            if cumulative[-1] <= 0.0:
                self._meet_all()  # every weight is tiny beside the largest, which is an old one
                continue
            block = _drawn(cumulative, rng)
            inside = np.cumsum(self.weights[block], dtype=np.float64)
            place = (block, _drawn(inside, rng))
            threshold = rng.random() * float(self.weights[place])
            self._meet(block, np.array([place[1]]))
            if threshold >= self._weight(place, self.least):
                self._note(np.array([block]))
                self._weigh(np.array([block]))
            elif threshold < self._weight(place, self.least_known):
                return place
            else:
                self._meet_all()
                if threshold < self._weight(place, self.least):
                    return place

    def pick(self, place: Place) -> None:
        """Remove this item, and let those around it know."""
        column = self.columns[place[0], :, place[1]].copy()
        self.distance[place] = GONE
        self.picked[:, self.pick_count] = column
        self.pick_count += 1
        outside = np.maximum(self.lower - column[:, None], column[:, None] - self.upper)
        bounds = np.maximum(outside, np.float32(0.0), out=outside).sum(axis=0)
        few = min(BLOCKS_A_PICK, len(bounds)) - 1
        # All that may be nearer than the least distance must be looked at: the least stays known.
        reach = max(float(np.partition(bounds, few)[few]), self.least + ROUNDING)
        near = np.flatnonzero(bounds <= reach)
        if len(near) > 4 * BLOCKS_A_PICK and self.least + ROUNDING < reach:
            near = np.argpartition(bounds, few)[: few + 1]  # many blocks are equally near
            near = np.union1d(near, np.flatnonzero(bounds <= self.least + ROUNDING))
        near = np.union1d(near, place[0])
        apart = np.abs(self.columns[near] - column[:, None]).sum(axis=1)
        self.distance[near] = np.minimum(self.distance[near], apart)
        self._note(near)
        least = float(self.block_least.min())
        # Below `least` nothing can be that was not found just now; whatever lies between it and
        # the least that is known can.
        self.least, self.least_known = min(self.least, least), least
        before = self.highest
        if self.distance[self.witness] < 0.0 or self._apart(self.witness) < self.highest:
            self._find_highest()
        if self.highest != before or self.least < self.weighed_least:
            self._weigh_all()
        else:
            self._weigh(near)

    def _apart(self, place: Place) -> float:
        last = self.picked[:, self.pick_count - 1]
        return float(np.abs(self.columns[place[0], :, place[1]] - last).sum())

    def _meet(self, block: int, positions: Indices) -> None:
        """Bring the distances of these items of a block up to date."""
        start = int(self.met[block, positions].min())
        if start < self.pick_count:
            items = self.columns[block][:, positions].T
            for picks in row_blocks(self.pick_count - start, items.size):
                met = self.picked[:, start + picks.start : start + picks.stop]
                apart = np.abs(items[:, :, None] - met).sum(axis=1).min(axis=1)
                self.distance[block, positions] = np.minimum(self.distance[block, positions], apart)
            self.met[block, positions] = self.pick_count

    def _meet_all(self) -> None:
        """Bring all distances up to date, so that the least is known."""
        for block in range(len(self.items)):
            left = np.flatnonzero(self.distance[block] >= 0.0)
            if len(left):
                self._meet(block, left)
        self._note(np.arange(len(self.items)))
        self.least = self.least_known = float(self.block_least.min())
        self._find_highest()
        self._weigh_all()

    def _find_highest(self) -> None:
        """The maximum of D: old distances are brought up to date while they exceed what is sure."""
        best = GONE
        while True:
            block = int(self.block_highest.argmax())
            if float(self.block_highest[block]) <= best:
                break
            positions = np.flatnonzero(self.distance[block] > best)
            self._meet(block, positions)
            position = int(self.distance[block].argmax())
            self.block_highest[block] = self.distance[block, position]
            if self.distance[block, position] > best:
                best = float(self.distance[block, position])
                self.witness = (block, position)
        self.highest = best

    def _note(self, blocks: Indices) -> None:
        distance = self.distance[blocks]
        self.block_highest[blocks] = distance.max(axis=1)
        gone = distance < 0.0
        distance[gone] = np.inf
        self.block_least[blocks] = distance.min(axis=1)

    def _weigh(self, blocks: Indices | slice) -> None:
        distance = self.distance[blocks]
        weights = self._scaled(distance, self.uncertainty[blocks], self.least)
        weights = _raised(weights, self.gamma)
        weights *= distance >= 0.0
        self.weights[blocks] = weights
        self.totals[blocks] = weights.sum(axis=1)

    def _weigh_all(self) -> None:
        self.largest, self.weighed_least = 1.0, self.least
        if self.highest > 0.0:
            relevances = self._scaled(self.distance, self.uncertainty, self.least)
            self.largest = float(relevances.max())
            self._weigh(slice(None))

    def _weight(self, place: Place, least: float) -> float:
        block, position = place
        one = (slice(block, block + 1), slice(position, position + 1))
        scaled = self._scaled(self.distance[one], self.uncertainty[one], least)
        return float(_raised(scaled, self.gamma)[0, 0])

    def _scaled(self, distance: Float32s, uncertainty: Float32s, least: float) -> Float32s:
        """u + D~ as a share of the largest, so that a high power does not overflow."""
        scaled: Float32s = distance - np.float32(least)
        if self.highest > least:
            scaled *= np.float32(1.0 / (self.highest - least))
        else:
            scaled[:] = 0.0
        np.clip(scaled, np.float32(0.0), np.float32(1.0), out=scaled)
        scaled += uncertainty
        scaled *= np.float32(1.0 / self.largest)
        return scaled


def _raised(weights: Float32s, gamma: float) -> Float32s:
    """weights ** gamma; by products for the small whole powers, which is much faster."""
    if gamma != int(gamma) or not 1 <= gamma <= 64:
        powers: Float32s = np.power(weights, np.float32(gamma))
        return powers
    powers = weights.copy()
    for bit in format(int(gamma), "b")[1:]:
        powers *= powers
        if bit == "1":
            powers *= weights
    return powers


def _drawn(cumulative: npt.NDArray[np.float64], rng: np.random.Generator) -> int:
    place = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    # Rounding may carry a number to the very end, past the last place with a weight.
    return min(place, int(np.searchsorted(cumulative, cumulative[-1])))
