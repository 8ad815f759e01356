"""Blocks of products between unit rows, and the search for the few that exceed a threshold."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from strategies.arrays import Floats, Indices, Mask
from strategies.kernels.facility_values import Value
from strategies.kernels.products import to_device

if TYPE_CHECKING:  # imported where a GPU is asked for, as in products.py
    import torch

# A block of the product matrix; large enough for the full speed of a matrix product.
BLOCK_ROWS = 1024
BLOCK_COLUMNS = 4096


class UnitProducts:
    """<left_i, right_j> by blocks, with rows of zeros given the products that `value` wants.

    left, right    (a, d), (b, d) of one dtype, contiguous, rows of length 1 or 0
    *_zero         (a,), (b,) which rows are zeros
    device         "cpu": NumPy; else PyTorch on that device
    """

    def __init__(
        self,
        left: Floats,
        left_zero: Mask,
        right: Floats,
        right_zero: Mask,
        value: Value,
        device: str,
    ) -> None:
        self.left, self.left_zero = left, left_zero
        self.right, self.right_zero = right, right_zero
        self.value = value
        self.any_zero = bool(left_zero.any() or right_zero.any())
        self._held: tuple[torch.Tensor, torch.Tensor] | None = None
        if device != "cpu":
            on_device = to_device(left, device)
            same = right is left
            self._held = (on_device, on_device if same else to_device(right, device))

    def block(self, rows: slice | Indices, columns: slice | Indices) -> Floats:
        """The products (r, c) of these left rows and these right rows."""
        if self._held is None:
            products: Floats = self.left[rows] @ self.right[columns].T
        else:
            left, right = self._held
            products = (left[_on(left, rows)] @ right[_on(right, columns)].T).cpu().numpy()
        return self._with_zero_rows(products, rows, columns)

    def above(
        self, rows: slice, columns: slice, thresholds: Floats
    ) -> tuple[Indices, Indices, Floats]:
        """(i, j, p) for the entries with p > thresholds[i], counted from the slices' starts.

        In the order of i, then j. thresholds (r,) in the dtype of the rows.
        """
        if self._held is None or self.any_zero:
            products = self.block(rows, columns)
            flat = np.flatnonzero((products > thresholds[:, None]).reshape(-1))
            found = products.reshape(-1)[flat]
            width = products.shape[1]
            i = flat // width
            return i, flat - i * width, found
        import torch

        left, right = self._held
        held = left[rows] @ right[columns].T
        limits = torch.from_numpy(thresholds).to(held.device)
        places = (held > limits[:, None]).nonzero()
        values = held[places[:, 0], places[:, 1]]
        both = places.cpu().numpy()
        return both[:, 0], both[:, 1], values.cpu().numpy()

    def _with_zero_rows(
        self, products: Floats, rows: slice | Indices, columns: slice | Indices
    ) -> Floats:
        if self.any_zero:
            left, right = self.left_zero[rows], self.right_zero[columns]
            products[left, :] = self.value.zero_product
            products[:, right] = self.value.zero_product
            products[np.ix_(left, right)] = self.value.zero_zero_product
        return products


def _on(matrix: "torch.Tensor", rows: slice | Indices) -> "slice | torch.Tensor":
    import torch

    return rows if isinstance(rows, slice) else torch.from_numpy(rows).to(matrix.device)


def blocks(count: int, step: int, start: int = 0) -> Iterator[slice]:
    """Slices of `step` that cover start..count in order."""
    for begin in range(start, count, step):
        yield slice(begin, min(begin + step, count))
