"""Which points a pick of D^2 sampling is worth comparing with: those of the cells around it."""

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices

# Each pick is compared with the points of this many cells, those whose picks are nearest to it.
CELLS_A_PICK = 3
# More picks than this have to wait before a cell's points are read.
FEWEST_WAITING = 8


class Cells:
    """The candidates by nearest early pick, and for each cell the later picks that it should meet.

    Picks wait until they are more than those that the cell has met, so that its points are read
    a logarithmic number of times.
    """

    def __init__(self) -> None:
        self.count = 0
        self.offsets: list[int] = []
        self.members: Indices = np.empty(0, dtype=np.int64)
        self.waiting: list[list[int]] = []
        self.met: list[int] = []

    def form(self, nearest: npt.NDArray[np.int32], count: int) -> None:
        self.count = count
        self.members = np.argsort(nearest, kind="stable").astype(np.int64)
        sizes = np.bincount(nearest, minlength=count)
        self.offsets = [0, *np.cumsum(sizes).tolist()]
        self.waiting = [[] for _ in range(count)]
        self.met = [0] * count

    def assign(self, first_pick: int, bounds: Floats) -> None:
        """Let picks first_pick, ... wait at the cells for which these bounds are least."""
        cells = min(CELLS_A_PICK, self.count)
        nearest = np.argpartition(bounds, cells - 1, axis=1)[:, :cells]
        for pick, row in enumerate(nearest.tolist(), first_pick):
            for cell in row:
                self.waiting[cell].append(pick)

    def ready(self, all_waiting: bool) -> list[tuple[Indices, Indices]]:
        """The members and waiting picks of each cell where enough wait; these have then met."""
        found = []
        for cell, waiting in enumerate(self.waiting):
            if len(waiting) > (0 if all_waiting else FEWEST_WAITING + self.met[cell]):
                members = self.members[self.offsets[cell] : self.offsets[cell + 1]]
                found.append((members, np.array(waiting, dtype=np.int64)))
                self.met[cell] += len(waiting)
                self.waiting[cell] = []
        return found
