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
from backend.evaluation.duplicate_threshold import threshold_from_random_pairs
from backend.evaluation.leak_guard import MOST_BLOCKED
from backend.evaluation.near_duplicates import similar_pairs

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
    near        (p, 2) numbers of near-duplicate contents, None: searched for when first needed

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
    near: NDArray[np.int64] | None = None

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
        if self.groups is None:
            return self.contents
        _, group = np.unique(self.groups, return_inverse=True)
        return _joined(group.astype(np.int64), self.contents)

    @cached_property
    def contents(self) -> NDArray[np.int64]:
        """(n,) numbers of the items' contents."""
        return np.unique(self.keys, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def near_duplicates(self) -> NDArray[np.int64]:
        """(p, 2) pairs of contents that are near-duplicates, by the leak guard's rule.

        Empty where unrelated items are that alike by chance: embeddings of a few numbers.
        """
        if self.near is not None:
            return self.near
        first = np.unique(self.keys, return_index=True)[1]
        embeddings = self.embeddings[first]
        threshold = threshold_from_random_pairs(embeddings, seed=0)
        none = np.zeros((0, 2), dtype=np.int64)
        try:
            found = similar_pairs(embeddings, threshold.cosine)
        except ValueError:
            return none
        by_chance = threshold.rule == "ceiling" and len(found.first) > MOST_BLOCKED * len(first)
        return none if by_chance else np.stack([found.first, found.second], axis=1)

    def too_close(self, held: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(n,) whether each item is a direct near-duplicate of one that is held out."""
        of_content = np.zeros(int(self.contents.max()) + 1, dtype=np.bool_)
        of_content[self.contents[held]] = True
        blocked = np.zeros_like(of_content)
        one, other = self.near_duplicates.T
        blocked[one[of_content[other]]] = True
        blocked[other[of_content[one]]] = True
        return blocked[self.contents]

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
            "near": self.near_duplicates,
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
                stored["near"],
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
