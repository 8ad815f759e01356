"""A table in a file: the rows of JSON Lines or CSV, and which of its columns holds what."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import AskNextError

TEXT_NAMES = ("text", "content", "sentence", "body", "message", "document", "review", "title")
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


class TableError(AskNextError):
    """A file is no readable table; the message names the line that is wrong and the mend."""


def read_table(path: Path) -> Table:
    """The rows of a .csv or .tsv file, or of JSON Lines (any other ending).

    Raises TableError with the line that is wrong and the mend.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TableError(
            f"{path} cannot be read ({error.strerror}); check its name and rights."
        ) from None
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8 text."
        ) from None
    if path.suffix.lower() in (".csv", ".tsv"):
        table = _read_csv(path, text)
    else:
        table = _read_json(path, text)
    if not table.rows:
        raise TableError(f"{path} holds no rows; give one JSON object a line, or CSV.")
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
            value = _loads(line)
        except ValueError as error:
            raise TableError(
                f"Line {number} of {path.name} is not valid JSON ({error}); write one object a "
                "line, or give a .csv file."
            ) from None
        rows.append(_object(value, f"Line {number} of {path.name}"))
        lines.append(number)
    return Table(path, rows, lines)


def _read_array(path: Path, text: str) -> Table:
    try:
        values = _loads(text)
    except ValueError as error:
        raise TableError(
            f"{path.name} is not valid JSON ({error}); write one object a line."
        ) from None
    rows = [_object(value, f"Element {n} of {path.name}") for n, value in enumerate(values, 1)]
    return Table(path, rows, list(range(1, len(rows) + 1)))


def _loads(text: str) -> Any:
    """JSON, with nothing for the NaN that some writers put where nothing is."""
    return json.loads(text, parse_constant=lambda _: None)


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise TableError(f'{where} is no JSON object; write {{"text": ..., "label": ...}}.')
    return value


def _read_csv(path: Path, text: str) -> Table:
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count) if path.suffix.lower() == ".csv" else "\t"
    csv.field_size_limit(1 << 27)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows: list[Row] = []
    lines = []
    try:
        names = [name.strip() for name in next(reader, [])]
        # A first column without a name is the index that pandas writes.
        skipped = 1 if names[:1] == [""] else 0
        names = names[skipped:]
        if len(set(names)) < len(names) or "" in names:
            raise TableError(
                f"The first line of {path.name} must name each column once; it holds {names}."
            )
        start = reader.line_num + 1
        for values in reader:
            where, start = start, reader.line_num + 1
            if not values:
                continue
            if len(values) != len(names) + skipped:
                raise TableError(
                    f"Line {where} of {path.name} has {len(values)} values for "
                    f"{len(names) + skipped} columns; put texts that hold the separator in quotes."
                )
            rows.append(dict(zip(names, values[skipped:], strict=True)))
            lines.append(where)
    except csv.Error as error:
        raise TableError(f"Line {reader.line_num} of {path.name}: {error}.") from None
    return Table(path, rows, lines)


def text_column(table: Table, columns: Sequence[str]) -> str | None:
    """The one of these columns that holds the texts, by its name, else by their length."""
    return called(columns, TEXT_NAMES) or _longest(table, columns)


def called(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The column that has the first of these names, whatever its case; None where none has."""
    lower = {column.lower(): column for column in columns}
    return next((lower[name] for name in names if name in lower), None)


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
