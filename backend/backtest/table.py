"""Reading a labelled table: JSON Lines or CSV, and which column is what."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backend import data_table
from backend.backtest.labelled_data import BacktestError
from backend.data_table import IMAGE_ENDINGS, Table, TableError, called, text_column

LABEL_NAMES = ("label", "labels", "class", "category", "target", "topic", "choice", "sentiment")
IMAGE_NAMES = ("image", "image_path", "img", "photo", "path", "file", "filename", "file_name")
GROUP_NAMES = ("group", "group_id", "patient", "patient_id", "subject", "subject_id")


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
        return data_table.read_table(path)
    except TableError as error:
        raise BacktestError(str(error)) from None


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
    label = label or called(known, LABEL_NAMES)
    if label is None:
        raise BacktestError(
            f"Which column of {table.path.name} holds the labels? It has {_listed(known)}; name "
            "one with --label-column."
        )
    group = group or called([name for name in known if name != label], GROUP_NAMES)
    rest = [name for name in known if name not in (label, group)]
    if text is None and image is None:
        image = next((n for n in _all_called(rest, IMAGE_NAMES) if _holds_images(table, n)), None)
        text = None if image else text_column(table, rest)
        if text is None and image is None and not embedded:
            raise BacktestError(
                f"Which column of {table.path.name} is to be embedded? It has {_listed(known)}; "
                "name it with --text-column or --image-column, or give --embeddings FILE.npy."
            )
    return Columns(label, text, image, group)


def _all_called(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    lower = {column.lower(): column for column in columns}
    return [lower[name] for name in names if name in lower]


def _holds_images(table: Table, column: str) -> bool:
    values = [row.get(column) for row in table.rows[:20]]
    return all(isinstance(v, str) and v.lower().endswith(IMAGE_ENDINGS) for v in values)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(repr, columns)) or "no columns"
