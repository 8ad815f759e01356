"""The pool: all that a strategy may see of the items that wait for a label."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from strategies.arrays import Column, Floats, Indices, Integers, Mask
from strategies.errors import InvalidPoolError
from strategies.validation import (
    check_finite,
    check_floats,
    check_identifiers,
    check_not_negative,
    check_probabilities,
)

# What only a trained model can supply.
MODEL_FIELDS = frozenset({"probabilities", "previous_probabilities", "members", "predicted_loss"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """n unlabelled items, and what is known of them and of the m labelled ones.

    Every field is optional, but one of the (n, ...) fields or `size` must say what n is. Arrays of
    floats are float32 or float64, finite, possibly memory-mapped; they are read and never changed.

    embeddings              (n, d) floats, d >= 1
    probabilities           (n, c) floats, each row >= 0 with sum 1 (to within 1e-4)
    previous_probabilities  (n, c) likewise, from the model of the round before
    members                 (k, n, c) likewise, one (n, c) for each of k models
    labelled_embeddings     (m, d) floats
    labels                  (m,) integers >= 0: the class of each labelled item
    metadata                {column: (n,)} of any dtype; missing values allowed
    labelled_metadata       {column: (m,)} likewise
    groups                  (n,) integers or strings: patient, volume, document, ...
    predicted_loss          (n,) floats
    excluded                (n,) bool: True where an item may not be picked
    pinned                  (n,) bool: True where an item comes before whatever is chosen
    weights                 (n,) floats >= 0: the boost of an item, 1 where there is none
    size                    n itself, for a pool without arrays

    Raises InvalidPoolError, which names the array and its first wrong row.
    """

    embeddings: Floats | None = None
    probabilities: Floats | None = None
    previous_probabilities: Floats | None = None
    members: Floats | None = None
    labelled_embeddings: Floats | None = None
    labels: Integers | None = None
    metadata: Mapping[str, Column] | None = None
    labelled_metadata: Mapping[str, Column] | None = None
    groups: Column | None = None
    predicted_loss: Floats | None = None
    excluded: Mask | None = None
    pinned: Mask | None = None
    weights: Floats | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        self._check_values()
        self._check_lengths(self._pool_lengths(), "n", required=True)
        self._check_lengths(self._labelled_lengths(), "m", required=False)
        self._check_widths()

    @cached_property
    def n(self) -> int:
        """The number of items, the excluded ones included."""
        return next(length for _, length in self._pool_lengths())

    @cached_property
    def eligible(self) -> Indices:
        """The indices that may be picked, ascending: (e,) int64, e <= n."""
        if self.excluded is None:
            return np.arange(self.n, dtype=np.int64)
        return np.flatnonzero(~self.excluded).astype(np.int64)

    def restricted_to(self, indices: Indices) -> "Pool":
        """The same pool in which only these items may be picked (and only if they could before)."""
        excluded = np.ones(self.n, dtype=np.bool_)
        excluded[indices] = False
        if self.excluded is not None:
            excluded |= self.excluded
        return self._with_excluded(excluded)

    def without(self, indices: Indices) -> "Pool":
        """The same pool in which these items may not be picked."""
        excluded = (
            np.zeros(self.n, dtype=np.bool_) if self.excluded is None else self.excluded.copy()
        )
        excluded[indices] = True
        return self._with_excluded(excluded)

    def with_picked(self, indices: Indices) -> "Pool":
        """The same pool once these items are picked: excluded, and counted among the labelled.

        Their class is taken to be the most probable one; where labels are given but no
        probabilities, nothing is known of it and they are only excluded. What is given for the
        labelled items alone, not for the pool, cannot be continued and is left out.
        """
        other = self.without(indices)
        labels = None
        if self.labels is not None:
            if self.probabilities is None:
                return other
            predicted = self.probabilities[indices].argmax(axis=1)
            labels = np.concatenate([self.labels, predicted.astype(self.labels.dtype)])
        object.__setattr__(other, "labels", labels)
        held = self.labelled_embeddings
        if self.embeddings is None:
            object.__setattr__(other, "labelled_embeddings", None)
        else:
            rows = self.embeddings[indices]
            together = rows if held is None else np.concatenate([held, rows])
            if held is not None or self.labels is None:
                object.__setattr__(other, "labelled_embeddings", together)
        if self.labelled_metadata is not None:
            columns = self.metadata or {}
            joined = {
                column: np.concatenate([values, columns[column][indices]])
                for column, values in self.labelled_metadata.items()
                if column in columns
            }
            object.__setattr__(other, "labelled_metadata", joined)
        return other

    def _with_excluded(self, excluded: Mask) -> "Pool":
        # A shallow copy shares the arrays, which were checked once: no second pass over them.
        other = copy.copy(self)
        other.__dict__.pop("eligible", None)
        object.__setattr__(other, "excluded", excluded)
        return other

    def _check_values(self) -> None:
        if self.size is not None and (
            isinstance(self.size, bool)
            or not isinstance(self.size, (int, np.integer))
            or self.size < 0
        ):
            raise InvalidPoolError("size", f"is {self.size!r}, not a whole number >= 0")
        for field in ("embeddings", "labelled_embeddings"):
            if (matrix := getattr(self, field)) is not None:
                check_floats(field, matrix, "(n, d)" if field == "embeddings" else "(m, d)")
                check_finite(field, matrix)
        for field in ("probabilities", "previous_probabilities"):
            if (matrix := getattr(self, field)) is not None:
                check_floats(field, matrix, "(n, c)")
                check_probabilities(field, matrix)
        if self.members is not None:
            check_floats("members", self.members, "(k, n, c)")
            for member, matrix in enumerate(self.members):
                check_probabilities("members", matrix, f"member {member} ")
        for field in ("predicted_loss", "weights"):
            if (vector := getattr(self, field)) is not None:
                check_floats(field, vector, "(n,)")
                check_finite(field, vector)
        if self.weights is not None:
            check_not_negative("weights", self.weights)
        if self.labels is not None:
            check_identifiers("labels", self.labels, kinds="iu", meaning="class numbers (integers)")
            check_not_negative("labels", self.labels)
        if self.groups is not None:
            check_identifiers("groups", self.groups, "iuUSO", "identifiers (integers or strings)")
        for field in ("excluded", "pinned"):
            if (mask := getattr(self, field)) is not None:
                check_identifiers(field, mask, "b", "True or False (dtype bool)")
        for field in ("metadata", "labelled_metadata"):
            for column, values in (getattr(self, field) or {}).items():
                check_identifiers(f"{field}[{column!r}]", values, "biufUSOMm", "one value an item")

    def _pool_lengths(self) -> Iterator[tuple[str, int]]:
        if self.size is not None:
            yield "size", int(self.size)
        for field in ("embeddings", "probabilities", "previous_probabilities"):
            if (array := getattr(self, field)) is not None:
                yield field, len(array)
        if self.members is not None:
            yield "members", self.members.shape[1]
        for field in ("groups", "predicted_loss", "excluded", "pinned", "weights"):
            if (array := getattr(self, field)) is not None:
                yield field, len(array)
        for column, values in (self.metadata or {}).items():
            yield f"metadata[{column!r}]", len(values)

    def _labelled_lengths(self) -> Iterator[tuple[str, int]]:
        for field in ("labelled_embeddings", "labels"):
            if (array := getattr(self, field)) is not None:
                yield field, len(array)
        for column, values in (self.labelled_metadata or {}).items():
            yield f"labelled_metadata[{column!r}]", len(values)

    @staticmethod
    def _check_lengths(lengths: Iterator[tuple[str, int]], letter: str, required: bool) -> None:
        first: tuple[str, int] | None = None
        for field, length in lengths:
            first = first or (field, length)
            if length != first[1]:
                raise InvalidPoolError(
                    field, f"has {letter} = {length}, but {first[0]} has {letter} = {first[1]}"
                )
        if first is None and required:
            raise InvalidPoolError("size", "no array says how many items there are; give size=n")

    def _check_widths(self) -> None:
        if self.embeddings is not None and self.labelled_embeddings is not None:
            expected, found = self.embeddings.shape[1], self.labelled_embeddings.shape[1]
            if found != expected:
                raise InvalidPoolError(
                    "labelled_embeddings", f"has d = {found}, but embeddings has d = {expected}"
                )
        classes: tuple[str, int] | None = None
        for field in ("probabilities", "previous_probabilities", "members"):
            if (array := getattr(self, field)) is not None:
                classes = classes or (field, array.shape[-1])
                if array.shape[-1] != classes[1]:
                    raise InvalidPoolError(
                        field, f"has c = {array.shape[-1]}, but {classes[0]} has c = {classes[1]}"
                    )
        if self.labels is not None and classes is not None:
            wrong = np.flatnonzero(self.labels >= classes[1])
            if wrong.size:
                row = int(wrong[0])
                raise InvalidPoolError(
                    "labels",
                    f"is class {self.labels[row]}, but {classes[0]} has c = {classes[1]}",
                    row,
                )
