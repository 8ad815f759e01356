"""Embeddings of a data set by AskNext's own frozen encoders, computed once and kept on disk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.labels.datasets import SETS, SUBSAMPLE_SEED, DataSet

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmark-data" / "labels"
ENCODERS = {"text": "minilm", "image": "efficientnet-lite0"}


@dataclass(frozen=True, eq=False)
class Embedded:
    """A data set as the benchmark uses it.

    embeddings (n, d) float32; labels (n,) int64 in 0..c-1, c = len(classes); `test` items are the
    test part of a split.
    """

    name: str
    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    test: int


def embedded(name: str, folder: Path = FOLDER) -> Embedded:
    """The embedded data set of this name; encodes it (minutes) the first time."""
    data = SETS[name]
    path = encoded(data, folder)
    with np.load(path) as stored:
        return thinned(data, stored["embeddings"], stored["labels"])


def encoded(data: DataSet, folder: Path = FOLDER) -> Path:
    """The file that holds the embeddings and the class names of a set; made where it is absent."""
    path = folder / f"{data.encoded_as}.npz"
    if not path.exists():
        from backend.models.encoder import load_encoder

        source = data.load()
        encoder = load_encoder(ENCODERS[source.kind], source.kind)
        vectors = []
        for start in range(0, len(source.contents), encoder.chunk_size):
            vectors.append(encoder.encode(source.contents[start : start + encoder.chunk_size]))
            done = min(start + encoder.chunk_size, len(source.contents))
            print(f"\rencoding {data.encoded_as}: {done} of {len(source.contents)}", end="")
        print(flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.stem}.unfinished.npz")
        np.savez(unfinished, embeddings=np.concatenate(vectors), labels=np.array(source.labels))
        unfinished.replace(path)
    return path


def thinned(data: DataSet, embeddings: NDArray[np.float32], names: NDArray[np.str_]) -> Embedded:
    """The set with its classes thinned or renamed, as its `keep` says, and numbered by name."""
    rows = np.arange(len(names))
    renamed = names.astype(object)
    if data.keep is not None:
        classes, counts = np.unique(names, return_counts=True)
        kept = data.keep(dict(zip(classes.tolist(), counts.tolist(), strict=True)))
        rng = np.random.default_rng(SUBSAMPLE_SEED)
        parts = []
        for name, (new, count) in sorted(kept.items()):
            members = np.flatnonzero(names == name)
            parts.append(rng.permutation(members)[:count])
            renamed[members] = new
        rows = np.sort(np.concatenate(parts))
    classes, numbers = np.unique(renamed[rows].astype(str), return_inverse=True)
    return Embedded(
        data.name,
        np.ascontiguousarray(embeddings[rows]),
        numbers.astype(np.int64),
        tuple(classes.tolist()),
        data.test,
    )
