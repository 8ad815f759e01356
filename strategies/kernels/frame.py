"""Rows of any scale and place as float32 rows that products can be trusted with."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from strategies.arrays import Indices, row_blocks
from strategies.kernels.d2_sampling import Rows

Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """Where the rows lie: clustering is the same wherever they are moved and however scaled.

    points       (n, d) floats, read block by block
    candidates   (e,) int64 rows of points, the only ones that count; None: all of them
    unit_length  True: rows are scaled to length 1 first (a row of zeros stays)
    scale        a power of two, so that dividing by it is exact; no |x| / scale is above 1
    """

    points: Rows
    candidates: Indices | None
    unit_length: bool
    scale: float

    @classmethod
    def around(cls, points: Rows, candidates: Indices | None, unit_length: bool) -> "Frame":
        """The frame whose scale fits these rows."""
        unscaled = cls(points, candidates, unit_length, 1.0)
        highest = 0.0
        if not unit_length:
            for rows in row_blocks(unscaled.count, points.shape[1]):
                highest = max(highest, float(np.abs(unscaled.block(rows)).max()))
        exponent = int(np.frexp(highest)[1]) if highest > 0.0 else 0
        # The end of the exponents' range is left alone, so that 1 / scale stays a number.
        scale = float(np.ldexp(1.0, min(max(exponent, -1000), 1000)))
        return cls(points, candidates, unit_length, scale)

    @property
    def count(self) -> int:
        """The number of rows that count."""
        return self.points.shape[0] if self.candidates is None else len(self.candidates)

    def block(self, rows: slice | Indices) -> Float64:
        """These of the candidates' rows, scaled: (r, d) float64 of their own, C order."""
        if self.candidates is None:
            chosen = self.points[rows]
        else:
            chosen = self.points[self.candidates[rows]]
        block: Float64 = np.array(chosen, dtype=np.float64, order="C")
        if self.unit_length:
            # By the largest entry first, so that no square over- or underflows.
            for measure in (np.abs(block).max(axis=1), None):
                lengths = np.sqrt(np.square(block).sum(axis=1)) if measure is None else measure
                block /= np.where(lengths > 0.0, lengths, 1.0)[:, None]
        elif self.scale != 1.0:
            block /= self.scale
        return block

    def centred(self) -> Float32:
        """All rows less their mean: (e, d) float32, C order. Far from 0, float32 is too coarse."""
        dimensions = self.points.shape[1]
        mean = np.zeros(dimensions, dtype=np.float64)
        for rows in row_blocks(self.count, dimensions):
            mean += self.block(rows).sum(axis=0)
        mean /= self.count
        held = np.empty((self.count, dimensions), dtype=np.float32)
        for rows in row_blocks(self.count, dimensions):
            held[rows] = self.block(rows) - mean
        return held
