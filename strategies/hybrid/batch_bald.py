"""BatchBALD: the batch whose labels together say most about which member is right."""

from typing import Annotated, TypeAlias

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, row_blocks
from strategies.errors import StrategyError
from strategies.kernels.information import entropies
from strategies.parameters import Interval
from strategies.picks import GAIN, Picks
from strategies.ranking import best_first
from strategies.uncertainty.bald import bald

# Numbers that the table of configurations may hold: 512 MiB in float64.
LIMIT = 1 << 26
# An entropy of the members' posterior up to here: one member is certain to be right.
SURE = 1e-12
# More than single precision is wrong by in a gain.
SINGLE_ERROR = 2e-5
# The joint is used up when no item adds this part of what the best adds by itself.
USED_UP = 1e-4
# A gain that is no more than the rounding of an entropy.
ROUNDING = 1e-12

Precision: TypeAlias = type[np.float32] | type[np.float64]


def batch_bald(
    members: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    configurations: Annotated[int, Interval(least=1)] = 10_000,
    samples: Annotated[int, Interval(least=1)] = 1_000,
    candidates: Annotated[int, Interval(least=1)] = 10_000,
) -> Picks:
    """Greedily the batch S with the largest mutual information of its labels and the model.

    I(y_S; w) = H(y_S) - sum_{i in S} 1/k sum_j H(p_j(.|x_i)); a pick x adds

    I(y_x; w | y_S) = sum_m v_m (H(sum_j W_mj p_j(.|x)) - sum_j W_mj H(p_j(.|x)))

    A configuration m is one way in which the labels of S may come out, v_m its probability under
    the members' mean, W_mj the probability of member j once m is seen. Near copies of a pick add
    little, for its label has answered for them.

    While the c^|S| configurations number at most `configurations`, all are kept and the gains are
    exact. From then on `samples` of them are drawn from all outcomes of the last pick, in
    proportion to v_m H(W_m), the most that each can still add, and weighed by the inverse: an
    unbiased Monte-Carlo estimate as in the paper's section 3.3, of the same sum less what all
    items share. Gains only shrink as S grows (the information is submodular), so an item is
    looked at again only while its last gain reaches the best; that is exact where the gains are.

    k members hold no more than log k nats, so after some picks no item adds anything. When the
    best gain is less than 1/10,000 of the best BALD, the next pick begins a new S, as if the
    batch so far were labelled, and a note says so. With one member, or members that agree
    everywhere, nothing ever adds anything and the batch is random.

    members         (k, n, c), p_j(y|x) of member j = 1..k
    eligible        (e,) int64; 1 <= size <= e
    configurations  how many to keep; c^4 of them make the first five picks exact
    samples         how many to draw beyond that; the error of a gain falls as samples^(-1/2)
    candidates      only the max(size, candidates) items of the highest BALD are looked at
    returns         the picks in greedy order, and the detail gain in nats
    cost            a look at an item costs O(m c k) for m configurations; memory
                    m (k + c) numbers and blocks beside the input

    Raises StrategyError where m (k + c) numbers would pass 2^26 (512 MiB).

    Source: Kirsch, van Amersfoort and Gal, BatchBALD: Efficient and Diverse Batch Acquisition for
    Deep Bayesian Active Learning, NeurIPS 2019 (arXiv 1906.08158), sections 3 and 3.3; lazy
    greedy: Minoux 1978.
    """
    count, _, classes = members.shape
    kept_at_most = max(configurations, samples)
    if kept_at_most * (count + classes) > LIMIT:
        most = max(1, LIMIT // (count + classes))
        raise StrategyError(
            f"batch_bald would keep {kept_at_most:,} configurations of {count:,} members and "
            f"{classes:,} classes, more than {LIMIT:,} numbers; lower configurations and samples "
            f"to at most {most:,}, give fewer members, or use power_bald, which needs no joint"
        )
    alone = bald(members)
    kept = best_first(alone, eligible, max(size, candidates), rng)
    search = _Search(members, np.sort(kept), alone, configurations, samples)
    picks: list[int] = []
    gains: list[float] = []
    notes: tuple[str, ...] = ()
    while len(picks) < size:
        position, gain = search.best()
        if gain > search.tolerance:
            picks.append(int(search.items[position]))
            gains.append(gain)
            search.take(position, rng)
        elif search.joint.picks:
            notes = notes or (
                f"After {len(picks)} picks the members are told apart as far as their predictions "
                "go, and no item adds to the joint information; further picks begin a new joint.",
            )
            search.begin_again()
        else:
            rest = best_first(alone, search.remaining(), size - len(picks), rng)
            picks.extend(rest.tolist())
            gains.extend(alone[rest].tolist())
    return Picks(np.array(picks, dtype=np.int64), {GAIN: np.array(gains)}, notes=notes)


class _Joint:
    """The ways in which the labels picked so far may come out: all of them, or a weighted sample.

    posterior  (m, k) W_mj, each row with sum 1
    weight     (m,) v_m: its probability, where drawn divided by how often it is drawn
    """

    def __init__(self, count: int, configurations: int, samples: int) -> None:
        self.posterior: npt.NDArray[np.float64] = np.full((1, count), 1.0 / count)
        self.weight: npt.NDArray[np.float64] = np.ones(1)
        self.configurations = configurations
        self.samples = samples
        self.picks = 0
        self.sampled = False

    def gains(self, block: npt.NDArray[np.float64], dtype: Precision) -> npt.NDArray[np.float64]:
        """The information that each item would add: (k, r, c) to (r,), >= 0."""
        count, rows, classes = block.shape
        conditional = np.zeros(rows * classes)
        flat: Floats = block.reshape(count, rows * classes).astype(dtype, copy=False)
        weight: Floats = self.weight.astype(dtype, copy=False)
        posterior: Floats = self.posterior.astype(dtype, copy=False)
        for some in row_blocks(len(weight), rows * classes):
            predictive: Floats = posterior[some] @ flat
            logarithms = np.maximum(predictive, np.finfo(dtype).tiny)
            np.log(logarithms, out=logarithms)
            predictive *= logarithms
            conditional -= weight[some] @ predictive
        own = (self.weight @ self.posterior) @ entropies(block)
        gained: npt.NDArray[np.float64] = conditional.reshape(rows, classes).sum(axis=1) - own
        return np.maximum(gained, 0.0, out=gained)

    def extend(self, item: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
        """Take in the label of one more item, (k, c): every outcome, or a sample of them."""
        self.picks += 1
        joint = (self.posterior @ item) * self.weight[:, np.newaxis]
        weight: npt.NDArray[np.float64] = joint.ravel()
        unsure = np.zeros(len(weight))
        for some in row_blocks(len(weight), len(item)):
            rows = np.flatnonzero(weight[some] > 0.0) + some.start
            unsure[rows] = entropies(self._after(item, rows))
        # Where one member is certain to be right, no further label can tell anything.
        possible = np.flatnonzero(unsure > SURE)
        if len(possible) <= self.configurations and not self.sampled:
            self.posterior, self.weight = self._after(item, possible), weight[possible]
            return
        self.sampled = True
        steps = np.cumsum(weight[possible] * unsure[possible])
        if len(possible) > self.samples:
            marks = (np.arange(self.samples) + rng.random()) * (steps[-1] / self.samples)
            drawn = np.minimum(np.searchsorted(steps, marks, side="right"), len(steps) - 1)
            drawn, times = np.unique(drawn, return_counts=True)
            possible = possible[drawn]
            weight = times * (steps[-1] / self.samples) / unsure[possible]
        else:
            weight = weight[possible]
        self.posterior, self.weight = self._after(item, possible), weight

    def _after(self, item: npt.NDArray[np.float64], rows: Indices) -> npt.NDArray[np.float64]:
        parents, outcomes = np.divmod(rows, item.shape[1])
        posterior: npt.NDArray[np.float64] = self.posterior[parents]
        posterior *= item.T[outcomes]
        posterior /= posterior.sum(axis=1, keepdims=True)
        return posterior


class _Search:
    """Lazy greedy: upper bounds of all gains, brought up to date only while they may win."""

    def __init__(
        self,
        members: Floats,
        items: Indices,
        alone: npt.NDArray[np.float64],
        configurations: int,
        samples: int,
    ) -> None:
        self.members = members
        self.items = items  # ascending, so the first of equal gains is the lowest index
        self.alone = alone[items]
        self.kept = (configurations, samples)
        self.free = np.ones(len(items), dtype=np.bool_)
        self.begin_again()

    @property
    def tolerance(self) -> float:
        """A gain up to here is none."""
        return max(ROUNDING, USED_UP * float(self.alone[self.free].max(initial=0.0)))

    def begin_again(self) -> None:
        """Start a new joint from the items that are left."""
        self.joint = _Joint(self.members.shape[0], *self.kept)
        self.bounds = np.where(self.free, self.alone, -np.inf)

    def remaining(self) -> Indices:
        """The items that are not picked, ascending."""
        return self.items[self.free]

    def best(self) -> tuple[int, float]:
        """The position in `items` of the largest gain, and the gain."""
        if self.joint.picks > 0:
            # Single precision first: its logarithms are several times as fast.
            self._settle(np.float32, 0.0 if self.joint.sampled else SINGLE_ERROR)
            if not self.joint.sampled:
                self._settle(np.float64, 0.0)
        position = int(self.bounds.argmax())
        return position, float(self.bounds[position])

    def take(self, position: int, rng: np.random.Generator) -> None:
        """Add the item to the batch."""
        self.free[position] = False
        self.bounds[position] = -np.inf
        self.joint.extend(self._rows(np.array([position]))[:, 0], rng)

    def _settle(self, dtype: Precision, error: float) -> None:
        """Bring every bound up to date that reaches the largest gain, highest bounds first."""
        stale = self.free.copy()
        best, step = -np.inf, 16
        while True:
            waiting = np.flatnonzero(stale & (self.bounds >= best))
            if not len(waiting):
                return
            if len(waiting) > step:
                waiting = waiting[np.argpartition(-self.bounds[waiting], step)[:step]]
            gains = self._gains(waiting, dtype)
            self.bounds[waiting] = gains + error
            stale[waiting] = False
            best = max(best, float(gains.max()))
            step *= 2

    def _gains(self, positions: Indices, dtype: Precision) -> npt.NDArray[np.float64]:
        count, _, classes = self.members.shape
        width = classes * max(count, min(len(self.joint.weight), 1 << 10))
        gains = np.empty(len(positions))
        for some in row_blocks(len(positions), width):
            gains[some] = self.joint.gains(self._rows(positions[some]), dtype)
        return gains

    def _rows(self, positions: Indices) -> npt.NDArray[np.float64]:
        return np.array(self.members[:, self.items[positions]], dtype=np.float64, order="C")
