"""Reading a labelled table: JSON Lines or CSV, and which column is what."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.backtest.labelled_data import BacktestError

LABEL_NAMES = ("label", "labels", "class", "category", "target", "topic", "choice", "sentiment")
TEXT_NAMES = ("text", "content", "sentence", "body", "message", "document", "review", "title")
IMAGE_NAMES = ("image", "image_path", "img", "photo", "path", "file", "filename", "file_name")
GROUP_NAMES = ("group", "group_id", "patient", "patient_id", "subject", "subject_id")
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# A column of prose that has no telling name is the text where it is this long on average.
_LONG_TEXT = 20

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows of a file, and in which of its lines each stands."""

    path: Path
    rows: list[Row]
    lines: list[int]

    @property
    def columns(self) -> list[str]:
        """Every column that some row has, in the order of first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def where(self, row: int) -> str:
        """The place of a row, in words."""
        return f"line {self.lines[row]} of {self.path.name}"


@dataclass(frozen=True)
class Columns:
    """Which column holds what; None where there is none."""

    label: str
    text: str | None
    image: str | None
    group: str | None


def read_table(path: Path) -> Table:
    """The rows of a .csv or .tsv file, or of JSON Lines (any other ending).

    Raises BacktestError with the line that is wrong and the mend.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BacktestError(f"{path} cannot be read ({error.strerror}); check --data.") from None
    except UnicodeDecodeError as error:
        raise BacktestError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8 text."
        ) from None
    if path.suffix.lower() in (".csv", ".tsv"):
        table = _read_csv(path, text)
    else:
        table = _read_json(path, text)
    if not table.rows:
        raise BacktestError(f"{path} holds no rows; give one JSON object a line, or CSV.")
    return table


def _read_json(path: Path, text: str) -> Table:
    if text.lstrip().startswith("["):
        return _read_array(path, text)
    rows: list[Row] = []
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise BacktestError(
                f"Line {number} of {path.name} is not valid JSON ({error}); write one object a "
                "line, or give a .csv file."
            ) from None
        rows.append(_object(value, f"Line {number} of {path.name}"))
        lines.append(number)
    return Table(path, rows, lines)


def _read_array(path: Path, text: str) -> Table:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise BacktestError(
            f"{path.name} is not valid JSON ({error}); write one object a line."
        ) from None
    rows = [_object(value, f"Element {n} of {path.name}") for n, value in enumerate(values, 1)]
    return Table(path, rows, list(range(1, len(rows) + 1)))


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise BacktestError(f'{where} is no JSON object; write {{"text": ..., "label": ...}}.')
    return value


def _read_csv(path: Path, text: str) -> Table:
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count) if path.suffix.lower() == ".csv" else "\t"
    csv.field_size_limit(1 << 27)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator)
    rows: list[Row] = []
    lines = []
    try:
        names = [name.strip() for name in next(reader, [])]
        if len(set(names)) < len(names) or "" in names:
            raise BacktestError(
                f"The first line of {path.name} must name each column once; it holds {names}."
            )
        start = reader.line_num + 1
        for values in reader:
            where, start = start, reader.line_num + 1
            if not values:
                continue
            if len(values) != len(names):
                raise BacktestError(
                    f"Line {where} of {path.name} has {len(values)} values for {len(names)} "
                    "columns; put texts that hold the separator in quotes."
                )
            rows.append(dict(zip(names, values, strict=True)))
            lines.append(where)
    except csv.Error as error:
        raise BacktestError(f"Line {reader.line_num} of {path.name}: {error}.") from None
    return Table(path, rows, lines)


def choose_columns(
    table: Table,
    *,
    label: str | None = None,
    text: str | None = None,
    image: str | None = None,
    group: str | None = None,
    embedded: bool = False,
) -> Columns:
    """The columns that were named, the others by their names and their content.

    `embedded`: embeddings are given, so that a content is not needed.
    Raises BacktestError with the columns that there are and the option that names one.
    """
    known = table.columns
    for option, name in (("label", label), ("text", text), ("image", image), ("group", group)):
        if name is not None and name not in known:
            raise BacktestError(
                f"There is no column {name!r} in {table.path.name}; it has {_listed(known)}. "
                f"Name one of them with --{option}-column."
            )
    if text is not None and image is not None:
        raise BacktestError("Both --text-column and --image-column are given; name one of them.")
    label = label or _called(known, LABEL_NAMES)
    if label is None:
        raise BacktestError(
            f"Which column of {table.path.name} holds the labels? It has {_listed(known)}; name "
            "one with --label-column."
        )
    group = group or _called([name for name in known if name != label], GROUP_NAMES)
    rest = [name for name in known if name not in (label, group)]
    if text is None and image is None:
        image = next((n for n in _all_called(rest, IMAGE_NAMES) if _holds_images(table, n)), None)
        text = None if image else _called(rest, TEXT_NAMES) or _longest(table, rest)
        if text is None and image is None and not embedded:
            raise BacktestError(
                f"Which column of {table.path.name} is to be embedded? It has {_listed(known)}; "
                "name it with --text-column or --image-column, or give --embeddings FILE.npy."
            )
    return Columns(label, text, image, group)


def _called(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next(iter(_all_called(columns, names)), None)


def _all_called(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    lower = {column.lower(): column for column in columns}
    return [lower[name] for name in names if name in lower]


def _holds_images(table: Table, column: str) -> bool:
    values = [row.get(column) for row in table.rows[:20]]
    return all(isinstance(v, str) and v.lower().endswith(IMAGE_ENDINGS) for v in values)


def _longest(table: Table, columns: Sequence[str]) -> str | None:
    """The column of strings that are longest on average, where they look like prose."""
    lengths = {}
    for name in columns:
        values = [row.get(name) for row in table.rows[:200]]
        texts = [value for value in values if isinstance(value, str)]
        if texts and len(texts) > len(values) // 2:
            lengths[name] = sum(map(len, texts)) / len(texts)
    best = max(lengths, key=lambda name: lengths[name], default=None)
    return best if best is not None and lengths[best] >= _LONG_TEXT else None


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(repr, columns)) or "no columns"
