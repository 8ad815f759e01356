"""Which candidate would cover which reference better than it is covered: a sparse graph."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Mask
from strategies.kernels.facility_products import BLOCK_COLUMNS, BLOCK_ROWS, UnitProducts, blocks
from strategies.kernels.facility_rows import UnitRows
from strategies.kernels.facility_values import Value

Doubles = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Lists:
    """For each of q keys the ids and values that belong to it, ascending by id.

    starts (q + 1,) int64; ids (E,) int32; values (E,) floats
    """

    starts: Indices
    ids: Ids
    values: Floats

    def of(self, key: int) -> slice:
        """The places of one key's entries."""
        return slice(int(self.starts[key]), int(self.starts[key + 1]))

    def of_many(self, keys: Indices) -> tuple[Indices, Indices]:
        """The places of the entries of all these keys, one key after another, and their counts."""
        starts = self.starts[keys]
        counts = self.starts[keys + 1] - starts
        ends = np.cumsum(counts)
        places = np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int64)
        places += np.repeat(starts - (ends - counts), counts)
        return places, counts


@dataclass(frozen=True)
class Graph:
    """The same edges from both sides: by candidate (ids are references) and by reference."""

    by_candidate: Lists
    by_reference: Lists


def cover_graph(
    rows: UnitRows,
    candidates: Indices,
    thresholds: Doubles,
    value: Value,
    error: float,
    dtype: npt.DTypeLike,
    device: str,
) -> Graph:
    """Every (candidate i, reference j) with p(i, j) > thresholds[j] - error, with its value.

    candidates  (c,) int64 ascending, among the q rows
    thresholds  (q,) products; +inf for a reference that nothing can cover better
    error       bound of the error of a product in `dtype`

    One matrix product of half the pairs where most rows are candidates (the product is symmetric),
    of candidates and references otherwise. O(q^2 d) time, O(q d + E) memory.
    """
    order = np.argsort(thresholds, kind="stable")
    limit = int(np.isfinite(thresholds).sum())
    limits = np.minimum(thresholds[order] - error, 2.0).astype(dtype)
    matrix, zero = rows.working(order, dtype)
    symmetric = 2 * len(candidates) > rows.count
    found = _Edges(rows, value, error)
    if symmetric:
        allowed = np.zeros(rows.count, dtype=np.bool_)
        allowed[candidates] = True
        products = UnitProducts(matrix, zero, matrix, zero, value, device)
        _symmetric_edges(products, order, allowed[order], limits, limit, found)
    else:
        right, right_zero = rows.working(candidates, dtype)
        products = UnitProducts(matrix, zero, right, right_zero, value, device)
        for a in blocks(limit, BLOCK_ROWS):
            for b in blocks(len(candidates), BLOCK_COLUMNS):
                i, j, p = products.above(a, b, limits[a])
                found.add(order[a][i], candidates[b][j], p)
    del matrix, products
    return found.graph(rows.count)


def _symmetric_edges(
    products: UnitProducts,
    order: Indices,
    allowed: Mask,
    limits: Floats,
    limit: int,
    found: "_Edges",
) -> None:
    # Ascending thresholds: what exceeds the later row's threshold exceeds the earlier row's too, so
    # one comparison of the upper triangle finds the edges of both directions.
    for a in blocks(limit, BLOCK_ROWS):
        i, j, p = products.above(a, a, limits[a])
        keep = allowed[a][j]
        found.add(order[a][i[keep]], order[a][j[keep]], p[keep])
        for b in blocks(len(order), BLOCK_COLUMNS, a.stop):
            i, j, p = products.above(a, b, limits[a])
            left, right = order[a][i], order[b][j]
            keep = allowed[b][j]
            found.add(left[keep], right[keep], p[keep])
            keep = allowed[a][i] & (p > limits[b][j])
            if b.stop > limit:
                keep &= j < limit - b.start
            found.add(right[keep], left[keep], p[keep])


class _Edges:
    def __init__(self, rows: UnitRows, value: Value, error: float) -> None:
        self.rows = rows
        self.value = value
        self.error = error
        self.references: list[Ids] = []
        self.candidates: list[Ids] = []
        self.values: list[npt.NDArray[Any]] = []

    def add(self, references: Indices, candidates: Indices, products: Floats) -> None:
        if not len(products):
            return
        doubtful = self.value.unsettled(products, self.error)
        values = self.value.of_products(products)
        own = references == candidates
        if own.any():
            # What an item does for itself is known without error.
            itself = self.rows.exact(candidates[own])
            values[own] = self.value.exact(itself, itself)
        if doubtful is not None and doubtful.any():
            values[doubtful] = self.value.exact(
                self.rows.exact(references[doubtful]), self.rows.exact(candidates[doubtful])
            )
        if not (values > 0.0).all():
            keep = values > 0.0
            references, candidates, values = references[keep], candidates[keep], values[keep]
        self.references.append(references.astype(np.int32))
        self.candidates.append(candidates.astype(np.int32))
        self.values.append(values)

    def graph(self, count: int) -> Graph:
        # One field after the other, so that no more than one is held twice.
        references = _joined(self.references, np.int32)
        candidates = _joined(self.candidates, np.int32)
        values = _joined(self.values, np.float64)
        order = _stable_order(candidates)
        references = references[order]
        candidates = candidates[order]
        values = values[order]
        starts = _starts(references, count)
        order = _stable_order(references)
        del references
        candidates = candidates[order]
        values = values[order]
        by_reference = Lists(starts, candidates, values)
        del order
        # Within a candidate ascending by reference: the order of its sums is then its own.
        order = _stable_order(by_reference.ids)
        keys = np.repeat(np.arange(count, dtype=np.int32), np.diff(by_reference.starts))
        by_candidate = Lists(
            _starts(by_reference.ids, count), keys[order], by_reference.values[order]
        )
        return Graph(by_candidate, by_reference)


def _starts(keys: Ids, count: int) -> Indices:
    starts = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(keys, minlength=count), out=starts[1:])
    return starts


def _stable_order(keys: Ids) -> Indices:
    # NumPy sorts 16-bit keys by radix, in linear time: low halves first, then high halves.
    order: Indices = np.argsort((keys & 0xFFFF).astype(np.uint16), kind="stable")
    if len(keys) and int(keys.max()) > 0xFFFF:
        # There are some 10^7 edges at most: 32 bits hold their places, in half the memory.
        short = order.astype(np.int32)
        del order
        again = np.argsort((keys >> 16).astype(np.uint16)[short], kind="stable")
        order = short[again].astype(np.int64)
    return order


def _joined(parts: list[npt.NDArray[Scalar]], empty: type[Scalar]) -> npt.NDArray[Scalar]:
    joined = np.concatenate(parts) if parts else np.empty(0, dtype=empty)
    parts.clear()
    return joined
