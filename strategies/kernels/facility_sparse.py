"""Greedy picks once the cover is good: few pairs can still gain, and they are all held."""

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices
from strategies.kernels.facility import Coverage
from strategies.kernels.facility_graph import Graph, cover_graph

Doubles = npt.NDArray[np.float64]

# The doubtful candidates are brought to float64 so many at a time, the most promising first.
EXACT_AT_ONCE = 16
EDGES_AT_ONCE = 1 << 20


def pick_by_graph(state: Coverage, size: int) -> None:
    """Make `size` exact greedy picks, fewer where nothing more gains, along a graph of the gains.

    An edge (i, j) says that i would cover j better than it is covered; only those can ever gain.
    Each pick p raises the cover of the references it improves, and the edges of these lower the
    gains of their candidates. A gain g_i is known to within slack_i, the rounding of the products
    behind it; candidates whose intervals overlap the highest are computed anew in float64.

    O(q^2 d) time for the graph, about O(E + size q) for the picks; O(q d + E) memory.
    """
    graph = cover_graph(
        state.rows,
        state.candidates,
        state.thresholds,
        state.value,
        state.error,
        state.dtype,
        state.device,
    )
    _SparseGreedy(state, graph).run(size)


class _SparseGreedy:
    def __init__(self, state: Coverage, graph: Graph) -> None:
        self.state = state
        self.graph = graph
        self.rounding = float(np.finfo(state.dtype).eps)
        count = state.rows.count
        self.gains = np.zeros(count, dtype=np.float64)
        self.slack = np.zeros(count, dtype=np.float64)
        self.was_exact = np.zeros(count, dtype=np.bool_)
        self.exact_values: dict[int, Doubles] = {}
        self._start()

    def run(self, size: int) -> None:
        for _ in range(size):
            if not self._take(self._best()):
                return

    def _start(self) -> None:
        state, lists = self.state, self.graph.by_reference
        count = state.rows.count
        starts = lists.starts
        first = 0
        while first < count:
            last = int(np.searchsorted(starts, starts[first] + EDGES_AT_ONCE, side="right")) - 1
            last = min(max(last, first + 1), count)
            places = slice(int(starts[first]), int(starts[last]))
            references = np.repeat(np.arange(first, last), np.diff(starts[first : last + 1]))
            ids, values = lists.ids[places], lists.values[places]
            weights, cover = state.weights[references], state.covered[references]
            gains = np.maximum(values - cover, 0.0) * weights
            slack = self._slack(values, ids == references)
            slack = np.where(values + slack > cover, slack, 0.0) * weights
            self.gains += np.bincount(ids, weights=gains, minlength=count)
            self.slack += np.bincount(ids, weights=slack, minlength=count)
            first = last
        self.gains[~state.open] = -np.inf

    def _slack(self, values: Floats, own: npt.NDArray[np.bool_]) -> Floats:
        # An item's coverage of itself is exact; every other value is off by its product's error.
        slack = self.state.value.slopes(values) * values.dtype.type(self.state.error)
        if not self.state.steps:
            slack += values * values.dtype.type(self.rounding)
        slack[own] = 0.0
        return slack

    def _best(self) -> int:
        upper = self.gains + self.slack
        low = float((self.gains - self.slack).max())
        contested = np.flatnonzero(upper >= low - self.state.tie(low))
        while len(contested) > 1:
            unsure = contested[self.slack[contested] > 0.0]
            if not len(unsure):
                break
            order = np.argsort(-upper[unsure], kind="stable")[:EXACT_AT_ONCE]
            self._make_exact(unsure[order])
            upper[contested] = self.gains[contested] + self.slack[contested]
            low = float((self.gains[contested] - self.slack[contested]).max())
            contested = contested[upper[contested] >= low - self.state.tie(low)]
        return self.state.among_equals(contested)

    def _make_exact(self, candidates: Indices) -> None:
        """Bring the gains of these candidates to float64, with the cover as it is now."""
        state, lists = self.state, self.graph.by_candidate
        self._fill_exact_values(candidates)
        for candidate in candidates.tolist():
            references = lists.ids[lists.of(candidate)]
            above = self.exact_values[candidate] - state.covered[references]
            gains = np.maximum(above, 0.0) * state.weights[references]
            self.gains[candidate] = gains.sum()
        self.slack[candidates] = 0.0
        self.was_exact[candidates] = True

    def _fill_exact_values(self, candidates: Indices) -> None:
        state, lists = self.state, self.graph.by_candidate
        missing = np.array([c for c in candidates.tolist() if c not in self.exact_values])
        if not len(missing):
            return
        places, counts = lists.of_many(missing)
        references = lists.ids[places].astype(np.int64)
        # Whatever is too well covered by now can never matter again.
        values = lists.values[places].astype(np.float64)
        live = np.flatnonzero(
            values + self._slack(values, values < 0.0) > state.covered[references]
        )
        own = state.rows.exact(missing)
        owner = np.repeat(np.arange(len(missing)), counts)
        step = max(1, (1 << 20) // state.rows.dimensions)
        for begin in range(0, len(live), step):
            part = live[begin : begin + step]
            values[part] = state.value.exact(state.rows.exact(references[part]), own[owner[part]])
        ends = np.cumsum(counts)
        for candidate, begin, end in zip(
            missing.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True
        ):
            self.exact_values[candidate] = values[begin:end].copy()

    def _take(self, pick: int) -> bool:
        """Make this pick; False where it would gain nothing, so that nothing else would."""
        state = self.state
        self._fill_exact_values(np.array([pick]))
        references = self.graph.by_candidate.ids[self.graph.by_candidate.of(pick)]
        values = self.exact_values.pop(pick)
        better = np.flatnonzero(values > state.covered[references])
        improved, new = references[better].astype(np.int64), values[better]
        old = state.covered[improved]
        gain = float((state.weights[improved] * (new - old)).sum())
        if gain <= state.tie(0.0):
            return False
        self._lower_gains(improved, old, new)
        state.covered[improved] = new
        state.record(pick, gain, improved)
        self.gains[pick] = -np.inf
        self.slack[pick] = 0.0
        return True

    def _lower_gains(self, references: Indices, old: Doubles, new: Doubles) -> None:
        state, lists = self.state, self.graph.by_reference
        begin, longest = 0, max(1, EDGES_AT_ONCE // 8)
        lengths = np.cumsum(lists.starts[references + 1] - lists.starts[references])
        while begin < len(references):
            done = lengths[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(lengths, done + longest, side="right")))
            part = slice(begin, end)
            places, counts = lists.of_many(references[part])
            ids = lists.ids[places]
            values = lists.values[places].astype(np.float64)
            before, after = np.repeat(old[part], counts), np.repeat(new[part], counts)
            weights = np.repeat(state.weights[references[part]], counts)
            lost = np.maximum(values - before, 0.0) - np.maximum(values - after, 0.0)
            np.subtract.at(self.gains, ids, lost * weights)
            own = ids == np.repeat(references[part], counts)
            slack = self._slack(values, own)
            exact = self.was_exact[ids]
            touched = values + slack > before
            settled = touched & (values + slack <= after) & ~exact
            change = np.where(exact & touched, slack, np.where(settled, -slack, 0.0))
            if change.any():
                np.add.at(self.slack, ids, change * weights)
            begin = end
        np.maximum(self.slack, 0.0, out=self.slack)
