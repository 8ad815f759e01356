"""Matrix products with the rows of one large matrix, on the CPU (NumPy) or on a GPU (PyTorch)."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.errors import StrategyError

if TYPE_CHECKING:  # imported where a GPU is asked for: it takes seconds and hundreds of megabytes
    import torch

Device: TypeAlias = Literal["cpu", "cuda"]


class Products:
    """rows @ right.T for rows of one matrix, in its own precision.

    matrix  (n, d) float32 or float64, possibly memory-mapped; on a GPU it is copied there once
    device  "cpu": NumPy; "cuda": PyTorch on the GPU, without the shortened TF32 products, so that
            an error bound that holds for one holds for the other

    Raises StrategyError where the GPU that was asked for is not there.
    """

    def __init__(self, matrix: Floats, device: str = "cpu") -> None:
        self.matrix = matrix
        self._on_device: torch.Tensor | None = None
        if device != "cpu":
            self._on_device = to_device(matrix, device)

    def rows(self, rows: slice | Indices, right: Floats) -> Floats:
        """(r, k) = matrix[rows] @ right.T for right (k, d) of the same dtype."""
        if self._on_device is None:
            product: Floats = self.matrix[rows] @ right.T
            return product
        import torch

        chosen = self._on_device[rows if isinstance(rows, slice) else self._index(rows)]
        held = torch.from_numpy(np.ascontiguousarray(right)).to(chosen.device)
        with _full_precision():
            result: Floats = (chosen @ held.T).cpu().numpy()
        return result

    def taken(self, rows: Indices) -> "Products":
        """The products of a copy of these rows, for more than one product with the same rows."""
        taken = copy.copy(self)
        if self._on_device is None:
            taken.matrix = self.matrix[rows]
        else:
            taken._on_device = self._on_device[self._index(rows)]
        return taken

    def _index(self, rows: Indices) -> "torch.Tensor":
        import torch

        assert self._on_device is not None
        return torch.from_numpy(np.ascontiguousarray(rows)).to(self._on_device.device)


def to_device(matrix: Floats, device: str) -> "torch.Tensor":
    """A copy of the matrix on the device; raises StrategyError where that device is not there."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise StrategyError(
            f'device is "{device}", but PyTorch sees no GPU here; use device="cpu" or install a '
            "CUDA build of PyTorch on a machine with a GPU"
        )
    # From a copy: PyTorch does not take read-only memory maps.
    held: Any = torch.from_numpy(np.array(matrix))
    moved: torch.Tensor = held.to(device)
    return moved


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products without TF32, whatever the program around allows; its choice is put back."""
    import torch

    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed
