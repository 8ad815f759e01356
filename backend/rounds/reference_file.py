"""A reference that lies in a file: embeddings, texts or images from where the model will be used.

Files lie in `references` of the data folder. Texts and images are embedded into the project's cache
under hashes of their content, so that each is embedded once, and what is in the pool too is not
embedded again.
"""

import hashlib
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.data_table import IMAGE_ENDINGS, Table, TableError, read_table, text_column
from backend.errors import ConfigurationError
from backend.models.embedding_pipeline import embed_slice
from backend.rounds.context import ProjectContext
from backend.rounds.mirror import LONGEST_FIELD, content_hash

PATH = "reference.file"
TEXT_ENDINGS = (".csv", ".tsv", ".jsonl", ".txt")
# Of more rows, so many evenly spread ones stand for all.
MOST = 5_000
# A round embeds what is missing for about so long, and the next one goes on.
EMBED_SECONDS = 10.0
LARGEST_TABLE = 512 * 1024 * 1024
LARGEST_IMAGE = 64 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class FileRows:
    """The rows of a file that are used: embeddings (n, d), metadata, and what is missing.

    rows  that the file has in all
    note  in words, None where every row could be used
    """

    embeddings: npt.NDArray[np.float32]
    fields: list[dict[str, Any]]
    rows: int
    note: str | None


@dataclass(frozen=True)
class _Content:
    """One text or image: its hash, how to read it, and its metadata."""

    key: bytes
    read: Callable[[], str | bytes]
    fields: dict[str, Any]


def read_file(context: ProjectContext, name: str) -> FileRows:
    """The file or folder of this name; what has no embedding yet is embedded for some seconds.

    Raises:
        ConfigurationError: it is absent, of no use for this project, or holds what is no number.
    """
    folder = context.settings.data_dir / "references"
    path = folder / name
    if not path.exists():
        raise ConfigurationError(PATH, f"there is no {name!r} in {folder}; copy it there")
    ending = path.suffix.lower()
    if path.is_file() and ending == ".npy":
        return _given(path, context.encoder.dimension, context.encoder.name)
    wanted = "text" if path.is_file() and ending in TEXT_ENDINGS else "image"
    if wanted == "image" and path.is_file() and ending != ".zip":
        raise ConfigurationError(
            PATH,
            f"{name!r} is of no kind that can be read; give .npy (embeddings), .csv, .jsonl or "
            ".txt (texts), .zip or a folder (images)",
        )
    if wanted != context.encoder.kind:
        raise ConfigurationError(
            PATH, f"{name!r} holds {wanted}s, and the project's tasks are {context.encoder.kind}s"
        )
    try:
        if wanted == "text":
            contents, rows = _texts(path)
            return _embedded(context, name, contents, rows)
        if path.is_dir():
            contents, rows = _images(path)
            return _embedded(context, name, contents, rows)
        with zipfile.ZipFile(path) as archive:
            contents, rows = _archived(path, archive)
            return _embedded(context, name, contents, rows)
    except TableError as error:
        raise ConfigurationError(PATH, str(error)) from None
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigurationError(PATH, f"{name!r} cannot be read ({error}); replace it") from None


def evenly(count: int) -> npt.NDArray[np.int64]:
    """At most 5,000 evenly spread places of so many."""
    return np.linspace(0, count - 1, min(count, MOST)).round().astype(np.int64)


def _given(path: Path, dimension: int, encoder: str) -> FileRows:
    """Embeddings that were made elsewhere by the project's encoder."""
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigurationError(
            PATH, f"{path.name!r} cannot be read ({error}); save one array with numpy.save"
        ) from None
    shape: tuple[int, ...] = getattr(loaded, "shape", ())
    if len(shape) != 2 or shape[1] != dimension or not shape[0] or loaded.dtype.kind not in "fiu":
        raise ConfigurationError(
            PATH,
            f"{path.name!r} holds an array of shape {shape} of {loaded.dtype}; the project's "
            f"encoder {encoder} makes embeddings of shape (rows, {dimension}) of floats",
        )
    places = evenly(len(loaded))
    with np.errstate(over="ignore"):
        values = np.asarray(loaded[places]).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise ConfigurationError(
            PATH,
            f"row {places[bad[0]] + 1} of {path.name!r} holds NaN or infinity, as do {len(bad)} of "
            f"{len(values)} rows; mend or leave them out",
        )
    return FileRows(values, [{}] * len(values), len(loaded), None)


def _texts(path: Path) -> tuple[list[_Content], int]:
    if path.stat().st_size > LARGEST_TABLE:
        raise ConfigurationError(
            PATH,
            f"{path.name!r} is larger than {LARGEST_TABLE // 2**20} MB; {MOST:,} rows drawn at "
            "random from it are as good",
        )
    if path.suffix.lower() == ".txt":
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        texts = [line for line in lines if line.strip()]
        fields: list[dict[str, Any]] = [{}] * len(texts)
    else:
        table = read_table(path)
        column = text_column(table, table.columns)
        if column is None:
            raise ConfigurationError(
                PATH, f"no column of {path.name!r} holds texts; call the one that does `text`"
            )
        held = [(row.get(column), n) for n, row in enumerate(table.rows)]
        kept = [(text, n) for text, n in held if isinstance(text, str) and text.strip()]
        texts = [text for text, _ in kept]
        fields = _metadata(table, [n for _, n in kept], column)
    if not texts:
        raise ConfigurationError(PATH, f"{path.name!r} holds no text; write one in each row")
    contents = [
        _Content(content_hash(texts[n]), partial(_encodable, texts[n]), fields[n])
        for n in evenly(len(texts)).tolist()
    ]
    return contents, len(texts)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _metadata(table: Table, rows: Sequence[int], texts: str) -> list[dict[str, Any]]:
    """The short values of the other columns; where all of a column are numbers, as numbers."""
    found: list[dict[str, Any]] = [{} for _ in rows]
    for name in table.columns:
        if name == texts:
            continue
        values = [table.rows[n].get(name) for n in rows]
        short = [
            v
            if isinstance(v, int | float) or (isinstance(v, str) and 0 < len(v) <= LONGEST_FIELD)
            else None
            for v in values
        ]
        for place, value in enumerate(_as_numbers(short)):
            if value is not None:
                found[place][name] = value
    return found


def _as_numbers(values: list[Any]) -> list[Any]:
    try:
        return [float(v) if isinstance(v, str) else v for v in values]
    except ValueError:
        return values


def _images(folder: Path) -> tuple[list[_Content], int]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".") and path.is_file()
    )
    chosen = [files[n] for n in _places(files, folder)]
    found = []
    for path in chosen:
        # Reading thousands of images in every round only to know them again would take minutes.
        known = path.stat()
        identity = f"{path.relative_to(folder)}\n{known.st_size}\n{known.st_mtime_ns}"
        found.append(_Content(_key("folder", folder.name, identity), partial(_of_folder, path), {}))
    return found, len(files)


def _archived(path: Path, archive: zipfile.ZipFile) -> tuple[list[_Content], int]:
    members = [
        info
        for info in archive.infolist()
        if Path(info.filename).suffix.lower() in IMAGE_ENDINGS
        and not Path(info.filename).name.startswith(".")
    ]

    chosen = [members[n] for n in _places(members, path)]
    found = [
        _Content(
            _key("zip", info.filename, f"{info.file_size}\n{info.CRC}"),
            partial(_of_archive, archive, info),
            {},
        )
        for info in chosen
    ]
    return found, len(members)


def _places(found: Sequence[Any], path: Path) -> list[int]:
    if not found:
        raise ConfigurationError(
            PATH, f"{path.name!r} holds no image ({', '.join(IMAGE_ENDINGS)}); add some"
        )
    places: list[int] = evenly(len(found)).tolist()
    return places


def _of_folder(path: Path) -> bytes:
    with path.open("rb") as stream:
        return _within(stream.read(LARGEST_IMAGE + 1))


def _of_archive(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as stream:
        return _within(stream.read(LARGEST_IMAGE + 1))


def _within(content: bytes) -> bytes:
    if len(content) > LARGEST_IMAGE:
        raise OSError(f"larger than {LARGEST_IMAGE // 2**20} MB")
    return content


def _key(*parts: str) -> bytes:
    joined = "\n".join(("reference", *parts)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(joined, digest_size=16).digest()


def _embedded(
    context: ProjectContext, name: str, contents: Sequence[_Content], rows: int
) -> FileRows:
    """Those that have an embedding, once the missing ones were embedded for some seconds.

    In the order of the hashes, so that any beginning of them is a fair sample.
    """
    cache = context.cache
    cache.refresh()
    failed: dict[bytes, str] = {}
    missing = {one.key: one for one in contents if one.key not in cache}
    if missing:
        until = time.monotonic() + EMBED_SECONDS
        items = _read([missing[key] for key in sorted(missing)], failed, until)
        failed |= embed_slice(context.encoder, cache, items, EMBED_SECONDS).failed
    usable = [one for one in contents if one.key in cache]
    if not usable:
        reason = next(iter(failed.values()), "none is embedded yet")
        raise ConfigurationError(PATH, f"nothing in {name!r} can be used: {reason}")
    waiting = sum(one.key not in cache and one.key not in failed for one in contents)
    broken = len(contents) - len(usable) - waiting
    notes = [
        *([f"{waiting:,} of {len(contents):,} wait to be embedded"] if waiting else []),
        *([f"{broken:,} cannot be read ({next(iter(failed.values()))})"] if broken else []),
    ]
    return FileRows(
        cache.get([one.key for one in usable]),
        [one.fields for one in usable],
        rows,
        "; ".join(notes) or None,
    )


def _read(
    missing: Sequence[_Content], failed: dict[bytes, str], until: float
) -> Iterator[tuple[bytes, str | bytes]]:
    for one in missing:
        try:
            yield one.key, one.read()
        # RuntimeError: an archive with a password, or packed in a way that is not known.
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            failed[one.key] = str(error)
        if time.monotonic() >= until:
            return
