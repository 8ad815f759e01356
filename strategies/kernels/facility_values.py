"""How much one item covers another: functions of the product of two unit rows, and their slopes."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats

Doubles = npt.NDArray[np.float64]

# A Gaussian below this adds nothing that float64 would show beside the item's own coverage.
NEGLIGIBLE = 1e-30


class Value(Protocol):
    """v(p), a non-decreasing function of the product p = <z_i, z_j> of two rows; 0 <= v <= 1.

    A row of zeros has no direction. `zero_product` is the p that stands for it beside a row of
    length 1, and `zero_zero_product` beside another row of zeros.
    """

    @property
    def zero_product(self) -> float:
        """p of a row of zeros with a row of length 1."""

    @property
    def zero_zero_product(self) -> float:
        """p of two rows of zeros."""

    def of_products(self, products: Floats) -> Floats:
        """v(p), which may overwrite the products."""

    def products_of(self, values: Doubles) -> Doubles:
        """The products above which v(p) exceeds these values (+inf where none does)."""

    def slopes(self, values: Floats) -> Floats:
        """A bound of |dv/dp| where v has these values."""

    def exact(self, left: Doubles, right: Doubles) -> Doubles:
        """v of each pair of float64 rows (r, d), (r, d); equal pairs of rows have equal values."""

    def unsettled(self, products: Floats, error: float) -> npt.NDArray[np.bool_] | None:
        """Where v jumps so near to a product that the error decides; None for a smooth v."""


@dataclass(frozen=True)
class Gaussian:
    """exp(-|z_i - z_j|^2 / h^2) = exp((p - 1) 2 / h^2)."""

    bandwidth: float
    zero_product: float = 0.5
    zero_zero_product: float = 1.0

    def of_products(self, products: Floats) -> Floats:
        """As in Value; never above 1, whatever the rounding of p."""
        np.minimum(products, 1.0, out=products)
        products -= 1.0
        products *= self._steepness
        np.exp(products, out=products)
        return products

    def products_of(self, values: Doubles) -> Doubles:
        """As in Value."""
        return np.asarray(1.0 + np.log(np.maximum(values, NEGLIGIBLE)) / self._steepness)

    def slopes(self, values: Floats) -> Floats:
        """As in Value."""
        return values * values.dtype.type(self._steepness)

    def exact(self, left: Doubles, right: Doubles) -> Doubles:
        """As in Value."""
        difference = left - right
        squares = np.einsum("ij,ij->i", difference, difference)
        return np.asarray(np.exp(-squares / (self.bandwidth * self.bandwidth)))

    def unsettled(self, products: Floats, error: float) -> None:
        """As in Value: smooth."""

    @property
    def _steepness(self) -> float:
        return 2.0 / (self.bandwidth * self.bandwidth)


@dataclass(frozen=True)
class ClippedCosine:
    """max(p, 0): the cosine, negative ones being no coverage. A row of zeros covers nothing."""

    zero_product: float = 0.0
    zero_zero_product: float = 0.0

    def of_products(self, products: Floats) -> Floats:
        """As in Value."""
        return np.maximum(products, 0.0, out=products)

    def products_of(self, values: Doubles) -> Doubles:
        """As in Value."""
        return values

    def slopes(self, values: Floats) -> Floats:
        """As in Value."""
        return np.ones_like(values)

    def exact(self, left: Doubles, right: Doubles) -> Doubles:
        """As in Value."""
        return np.asarray(np.maximum(np.einsum("ij,ij->i", left, right), 0.0))

    def unsettled(self, products: Floats, error: float) -> None:
        """As in Value: smooth."""


@dataclass(frozen=True)
class Ball:
    """1 where |z_i - z_j| < radius, else 0."""

    radius: float
    zero_product: float = 0.5
    zero_zero_product: float = 1.0

    def of_products(self, products: Floats) -> Floats:
        """As in Value."""
        return (products > self._edge).astype(products.dtype)

    def products_of(self, values: Doubles) -> Doubles:
        """As in Value."""
        return np.where(values < 1.0, self._edge, np.inf)

    def slopes(self, values: Floats) -> Floats:
        """As in Value: flat beside the edge, where pairs are settled one by one."""
        return np.zeros_like(values)

    def exact(self, left: Doubles, right: Doubles) -> Doubles:
        """As in Value."""
        difference = left - right
        inside = np.einsum("ij,ij->i", difference, difference) < self.radius * self.radius
        return np.asarray(inside, dtype=np.float64)

    def unsettled(self, products: Floats, error: float) -> npt.NDArray[np.bool_]:
        """As in Value."""
        return np.asarray(np.abs(products - self._edge) <= error)

    @property
    def _edge(self) -> float:
        return 1.0 - self.radius * self.radius / 2.0
