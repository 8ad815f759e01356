"""The data of a backtest: frozen embeddings with their labels, and the file that workers read."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import AskNextError

LEAST_ITEMS = 40


class BacktestError(AskNextError):
    """The data or the settings of a backtest are wrong; the message names the part and the mend."""


@dataclass(frozen=True, eq=False)
class LabelledData:
    """n items that have been labelled.

    embeddings  (n, d) float32
    labels      (n,) int64 in 0..c-1 of `classes`
    keys        (n,) texts: what an item is known by, the same for the same content
    groups      (n,) texts, or None where there are none: patient, volume, document
    metadata    {column: (n,)} for the strategies that read it
    test        (n,) bool: the items to test on, or None where each seed draws its own
    warnings    sentences about what the data can and cannot show

    Raises BacktestError where too little is labelled to learn from.
    """

    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    keys: NDArray[np.str_]
    groups: NDArray[np.str_] | None = None
    metadata: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    test: NDArray[np.bool_] | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_labels(self.labels, self.classes)
        bad = np.flatnonzero(~np.isfinite(self.embeddings).all(axis=1))
        if len(bad):
            raise BacktestError(
                f"The embedding of row {bad[0] + 1} holds NaN or infinity; mend or leave out the "
                f"{len(bad)} rows that do."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def units(self) -> NDArray[np.int64]:
        """(n,) numbers of what a split keeps whole: groups, joined where they share a content."""
        _, same = np.unique(self.keys, return_inverse=True)
        if self.groups is None:
            return same.astype(np.int64)
        _, group = np.unique(self.groups, return_inverse=True)
        return _joined(group.astype(np.int64), same.astype(np.int64))

    def digest(self) -> str:
        """SHA-256 of everything that a run depends on."""
        found = hashlib.sha256(np.ascontiguousarray(self.embeddings).tobytes())
        found.update(self.labels.tobytes() + self.units.tobytes())
        found.update(json.dumps(self.classes).encode())
        for name in sorted(self.metadata):
            found.update(f"{name}{self.metadata[name].tolist()}".encode())
        for part in (self.groups, self.test):
            found.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
        return found.hexdigest()

    def save(self, path: Path) -> None:
        """Write the data to an .npz file, whole or not at all."""
        arrays: dict[str, NDArray[Any]] = {
            "embeddings": self.embeddings,
            "labels": self.labels,
            "keys": self.keys,
        }
        if self.groups is not None:
            arrays["groups"] = self.groups
        if self.test is not None:
            arrays["test"] = self.test
        rest = {
            "classes": self.classes,
            "warnings": self.warnings,
            "metadata": {name: column.tolist() for name, column in self.metadata.items()},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
        arrays["rest"] = np.array(json.dumps(rest))
        np.savez(unfinished, allow_pickle=False, **arrays)
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "LabelledData":
        """The data that `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            rest = json.loads(str(stored["rest"]))
            return cls(
                stored["embeddings"],
                stored["labels"],
                tuple(rest["classes"]),
                stored["keys"],
                stored.get("groups"),
                {name: metadata_column(values) for name, values in rest["metadata"].items()},
                stored.get("test"),
                tuple(rest["warnings"]),
            )


def check_labels(labels: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    """Raise BacktestError where the labels (n,) are too few or all the same."""
    n = len(labels)
    if n < LEAST_ITEMS:
        raise BacktestError(
            f"There are {n} labelled items; a backtest needs {LEAST_ITEMS} at least, and some "
            "hundreds to see a difference. Label more first."
        )
    if len(np.unique(labels)) < 2:
        raise BacktestError(
            f"All {n} items have the same label, {classes[labels[0]]!r}; name the "
            "column that holds the labels with --label-column."
        )


def metadata_column(values: list[Any]) -> NDArray[Any]:
    """(n,) float64 with NaN for None where all values are numbers, else (n,) objects: texts."""
    present = [value for value in values if value is not None]
    if present and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in present
    ):
        return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = [None if value is None else str(value) for value in values]
    return column


def _joined(group: NDArray[np.int64], same: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) numbers, equal for items that are linked by a group or by a content."""
    number = group.copy()
    while True:
        lowest = np.full(int(same.max()) + 1, len(number), dtype=np.int64)
        np.minimum.at(lowest, same, number)
        linked = lowest[same]
        lowest = np.full(int(group.max()) + 1, len(number), dtype=np.int64)
        np.minimum.at(lowest, group, linked)
        linked = lowest[group]
        if (linked == number).all():
            return np.unique(number, return_inverse=True)[1].astype(np.int64)
        number = linked
