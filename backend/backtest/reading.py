"""From a labelled table to the data of a backtest: labels, groups, and cached embeddings."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.backtest.labelled_data import (
    BacktestError,
    LabelledData,
    check_labels,
    metadata_column,
)
from backend.backtest.table import Columns, choose_columns, read_table
from backend.data_table import Row, Table
from backend.models.embedding_cache import EmbeddingCache
from backend.models.embedding_pipeline import embed_slice
from backend.models.encoder import Encoder, Kind, load_encoder
from backend.models.input_properties import PropertyCache
from backend.rounds.mirror import LONGEST_FIELD, content_hash
from backend.rounds.specification import reads_properties
from strategies import Specification

# More distinct values than this share of the rows, and the column hardly holds classes.
_MOST_CLASSES = 0.2
_SLICE_SECONDS = 20.0

Tell = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    del done, total


@dataclass(frozen=True)
class Source:
    """What to read: a file, its columns (None: chosen by name), and the embeddings or the encoder.

    `embeddings` is an .npy file with a row for each row of the file. Without `may_read_files` a
    path in a row is not followed: whoever sent the rows need not have the right to read here.
    """

    path: Path
    label: str | None = None
    text: str | None = None
    image: str | None = None
    group: str | None = None
    embeddings: Path | None = None
    encoder: str = "auto"
    may_read_files: bool = True


def read_data(
    source: Source,
    cache_folder: Path,
    tell: Tell = _silent,
    strategies: Iterable[Specification] = (),
) -> LabelledData:
    """The labelled data of a file; what is not embedded yet is embedded and cached.

    Where one of `strategies` reads measured properties of contents ("image:sharpness", …) they are
    measured, and are among the metadata. `tell` gets how many contents of how many are embedded.
    Raises BacktestError with the row or column that is wrong and the mend.
    """
    table = read_table(source.path)
    columns = choose_columns(
        table,
        label=source.label,
        text=source.text,
        image=source.image,
        group=source.group,
        embedded=source.embeddings is not None,
    )
    if columns.image is not None and not source.may_read_files:
        raise BacktestError(
            f"The column {columns.image!r} holds paths of images, which are not read for a "
            "request; use `asknext backtest --data FILE` where the images are."
        )
    names, kept = _labels(table, columns.label)
    classes = tuple(sorted(set(names)))
    number = {name: place for place, name in enumerate(classes)}
    labels = np.array([number[name] for name in names], dtype=np.int64)
    warnings = [
        f"{columns.label!r} is the label"
        + (f", {columns.group!r} the group" if columns.group else "")
        + (f", {columns.text or columns.image!r} the content" if not source.embeddings else "")
        + f" of {len(kept)} items."
    ]
    if len(kept) < len(table.rows):
        warnings.append(f"{len(table.rows) - len(kept)} rows without a label are left out.")
    kind: Kind = "text" if columns.text is not None else "image"
    column = columns.text or columns.image
    measured = column is not None and any(reads_properties(one, kind) for one in strategies)
    contents = None
    if column is not None and (measured or source.embeddings is None):
        contents = _Contents(table, kept, column, kind)
    check_labels(labels, classes)  # before the long part
    if source.embeddings is not None:
        embeddings = _given(source.embeddings, table)[kept]
        keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in embeddings]
    else:
        assert contents is not None  # choose_columns found a content, or raised
        embeddings = _embedded(load_encoder(source.encoder, kind), cache_folder, contents, tell)
        keys = contents.keys
    metadata = _metadata(table, kept, columns)
    if measured and contents is not None:
        metadata = _properties(cache_folder, contents, tell) | metadata
    return LabelledData(
        np.ascontiguousarray(embeddings, dtype=np.float32),
        labels,
        classes,
        np.array([key.hex() for key in keys]),
        _groups(table, kept, columns.group),
        metadata,
        warnings=tuple(warnings),
    )


def _labels(table: Table, column: str) -> tuple[list[str], list[int]]:
    """The labels, and the rows that have one."""
    labels, kept = [], []
    for row, values in enumerate(table.rows):
        value = values.get(column)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if isinstance(value, dict | list):
            raise BacktestError(
                f"The label in column {column!r}, {table.where(row)}, is {value!r}; a backtest "
                "takes one class an item: a text or a number."
            )
        labels.append(str(value).strip())
        kept.append(row)
    if not labels:
        raise BacktestError(
            f"No row of {table.path.name} has a label in column {column!r}; name another with "
            "--label-column."
        )
    classes = len(set(labels))
    if classes > max(10, _MOST_CLASSES * len(labels)):
        raise BacktestError(
            f"The column {column!r} has {classes} different values in {len(labels)} rows, too many "
            "for classes; name the column of the labels with --label-column."
        )
    return labels, kept


def _given(path: Path, table: Table) -> NDArray[np.float32]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BacktestError(
            f"{path} cannot be read ({error}); give --embeddings an array saved by numpy.save."
        ) from None
    if not isinstance(loaded, np.ndarray) or loaded.ndim != 2 or loaded.dtype.kind not in "fiu":
        found = getattr(loaded, "shape", "several arrays")
        raise BacktestError(
            f"{path} holds {found} of numbers or other things; --embeddings needs one array of "
            "shape (rows, dimensions) of floats."
        )
    if len(loaded) != len(table.rows):
        raise BacktestError(
            f"{path.name} has {len(loaded)} rows and {table.path.name} {len(table.rows)}; "
            "--embeddings needs one row for each, in the same order."
        )
    values: NDArray[np.float32] = loaded.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise BacktestError(
            f"Row {bad[0] + 1} of {path.name} ({table.where(int(bad[0]))}) holds NaN or infinity; "
            f"mend or leave out the {len(bad)} rows that do."
        )
    return values


class _Contents:
    """The texts or images of the rows `kept`; images are read anew whenever they are needed.

    `keys` are the digests of the rows' contents, `row_of` the first row of each content.
    """

    def __init__(self, table: Table, kept: Sequence[int], column: str, kind: Kind) -> None:
        self.table, self.kind = table, kind
        self._column = column
        self.keys = [_key(_content(table, row, column, kind)) for row in kept]
        self.row_of: dict[bytes, int] = {}
        for key, row in zip(self.keys, kept, strict=True):
            self.row_of.setdefault(key, row)

    def items(self, keys: Iterable[bytes]) -> Iterator[tuple[bytes, str | bytes]]:
        """The contents of these keys, one after the other."""
        for key in keys:
            yield key, _content(self.table, self.row_of[key], self._column, self.kind)


def _content(table: Table, row: int, column: str, kind: Kind) -> str | bytes:
    value = table.rows[row].get(column)
    if not isinstance(value, str) or not value.strip():
        raise BacktestError(
            f"The column {column!r} is empty in {table.where(row)}; fill it, remove the row, or "
            f"name another column with --{kind}-column."
        )
    if kind == "text":
        return value.encode("utf-8", "replace").decode("utf-8")
    path = table.path.parent / value
    try:
        return path.read_bytes()
    except OSError as error:
        raise BacktestError(
            f"The image {value!r} of {table.where(row)} cannot be read ({error.strerror}); paths "
            f"are relative to {table.path.parent}."
        ) from None


def _key(content: str | bytes) -> bytes:
    if isinstance(content, str):
        return content_hash(content)
    return hashlib.blake2b(content, digest_size=16).digest()


def _embedded(
    encoder: Encoder, folder: Path, contents: _Contents, tell: Tell
) -> NDArray[np.float32]:
    cache = EmbeddingCache(folder, encoder.fingerprint, encoder.dimension)
    total = len(contents.row_of)
    missing = [key for key in contents.row_of if key not in cache]
    while missing:
        before = total - len(missing)

        def progress(done: int, before: int = before) -> None:
            tell(before + done, total)

        items = contents.items(missing)
        report = embed_slice(encoder, cache, items, _SLICE_SECONDS, progress)
        if report.failed:
            key, reason = next(iter(report.failed.items()))
            place = contents.table.where(contents.row_of[key])
            raise BacktestError(f"{place} cannot be embedded: {reason}")
        missing = [key for key in missing if key not in cache]
    return cache.get(contents.keys)


def _properties(folder: Path, contents: _Contents, tell: Tell) -> dict[str, NDArray[Any]]:
    """The measured columns of the contents; texts are measured against the file's own texts."""
    everything = hashlib.blake2b(b"".join(sorted(contents.row_of)), digest_size=16).hexdigest()
    total = len(contents.row_of)
    # No project has the number 0.
    cache = PropertyCache(folder, contents.kind, 0, everything, total)
    if cache.needs_corpus:
        cache.read_corpus(str(text) for _, text in contents.items(contents.row_of))
    keys = list(contents.row_of)
    have = cache.contains(keys)
    missing = [key for key, known in zip(keys, have, strict=True) if not known]
    with closing(cache.measured(contents.items(missing))) as measured:
        for done, _ in enumerate(measured, total - len(missing) + 1):
            tell(done, total)
    return dict(cache.columns(contents.keys))


def _groups(table: Table, kept: Sequence[int], column: str | None) -> NDArray[np.str_] | None:
    """The groups; an item without one is a group of its own."""
    if column is None:
        return None
    found = []
    for row in kept:
        value = table.rows[row].get(column)
        found.append(f"row {row}" if value in (None, "") else f"group {value}")
    return np.array(found, dtype=np.str_)


def _metadata(table: Table, kept: Sequence[int], columns: Columns) -> dict[str, NDArray[Any]]:
    """The other columns that hold short values."""
    known = (columns.label, columns.text, columns.image)
    found = {}
    for name in table.columns:
        values = [_short(table.rows[row], name) for row in kept]
        if name not in known and any(value is not None for value in values):
            found[name] = metadata_column(_numbers(values))
    return found


def _short(row: Row, name: str) -> Any:
    value = row.get(name)
    if isinstance(value, str):
        return value if value and len(value) <= LONGEST_FIELD else None
    return value if isinstance(value, int | float | bool) else None


def _numbers(values: list[Any]) -> list[Any]:
    """Texts that are all numbers (a CSV file knows only texts) as numbers."""
    try:
        return [float(v) if isinstance(v, str) else v for v in values]
    except ValueError:
        return values
