"""Measured properties of contents, on disk beside the embeddings: each content is measured once.

Images are measured by themselves. A text's rare words and its likeness to the others are measured
against a corpus, the texts that were there when the first one was measured; it is kept with the
measurements, so that all of a project's columns are of one measure.
"""

import hashlib
import json
import math
import os
import secrets
from collections.abc import Callable, Generator, Iterable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.models.embedding_cache import EmbeddingCache
from backend.models.encoder import Kind
from strategies.properties.images import IMAGE_PROPERTIES, image_properties
from strategies.properties.texts import TEXT_PROPERTIES, Corpus, read_corpus, text_properties

Item = tuple[bytes, str | bytes]
# Raised whenever a measure changes, so that old measurements are not mixed with new ones.
VERSION = 1
NAMES: dict[Kind, tuple[str, ...]] = {"image": IMAGE_PROPERTIES, "text": TEXT_PROPERTIES}
# Larger pictures are measured at this many pixels a side at most: a scan of 100 megapixels would
# take seconds. "image:size" and "image:aspect" are those of the file.
LONGEST_SIDE = 1024
STORED_AT_ONCE = 512
# So many shards are merged when a stream ends.
_SHARDS_BEFORE_COMPACTING = 64
# In the place of a measurement that failed; the cache holds finite numbers only.
FAILED = np.float32(-1e30)


class PropertyCache:
    """The measured properties of a project's contents, by content hash.

    `field` is where the content stands in the task data, `contents` how many there are.
    """

    def __init__(self, root: Path, kind: Kind, project_id: int, field: str, contents: int) -> None:
        self.kind = kind
        self.names = NAMES[kind]
        # Texts are measured against the project's own in the same field; images alike everywhere.
        field_digest = hashlib.blake2b(field.encode(), digest_size=4).hexdigest()
        # A pool that has grown fourfold has another idea of what is rare: it is measured anew.
        generation = math.floor(math.log(max(1, contents), 4))
        owner = f"-{project_id}-{field_digest}-{generation}" if kind == "text" else ""
        self._cache = EmbeddingCache(root, f"properties-{kind}-{VERSION}{owner}", len(self.names))
        self._corpus_path = self._cache.folder / "corpus.npz"
        self._corpus: Corpus | None = None

    def refresh(self) -> None:
        """See what other processes have measured."""
        self._cache.refresh()

    def contains(self, hashes: Sequence[bytes]) -> NDArray[np.bool_]:
        """(n,) bool: which of the contents are measured."""
        return self._cache.contains(hashes)

    def columns(self, hashes: Sequence[bytes]) -> dict[str, NDArray[np.float64]]:
        """The columns by name, each (n,) float64, NaN where a content is not measured."""
        values = np.full((len(hashes), len(self.names)), np.nan)
        known = np.flatnonzero(self.contains(hashes))
        if len(known):
            values[known] = self._cache.get([hashes[index] for index in known])
        values[values == FAILED] = np.nan
        return {name: values[:, place].copy() for place, name in enumerate(self.names)}

    @property
    def needs_corpus(self) -> bool:
        """Whether texts must be read for the corpus before one can be measured."""
        return self.kind == "text" and not self._corpus_path.exists()

    def read_corpus(self, texts: Iterable[str]) -> None:
        """Count what is usual among the project's texts, once for all."""
        corpus = read_corpus(texts)
        temporary = self._corpus_path.with_name(f".corpus.{secrets.token_hex(4)}.npz")
        np.savez(
            temporary,
            texts=np.int64(corpus.texts),
            scripts=corpus.scripts,
            trigrams=corpus.trigrams,
            words=np.frombuffer(json.dumps(dict(corpus.texts_with)).encode(), dtype=np.uint8),
        )
        os.replace(temporary, self._corpus_path)

    def measured(self, items: Iterable[Item]) -> Generator[Item, None, None]:
        """The same items, each measured on its way; close it to store the last ones."""
        rows: dict[bytes, NDArray[np.float32]] = {}
        measure = self._measure()
        try:
            for key, value in items:
                if key not in self._cache and key not in rows:
                    rows[key] = measure(value)
                if len(rows) >= STORED_AT_ONCE:
                    self._store(rows)
                yield key, value
        finally:
            self._store(rows)
            if self._cache.shard_count >= _SHARDS_BEFORE_COMPACTING:
                self._cache.compact()

    def _store(self, rows: dict[bytes, NDArray[np.float32]]) -> None:
        if rows:
            self._cache.add(list(rows), np.stack(list(rows.values())))
            rows.clear()

    def _measure(self) -> Callable[[str | bytes], NDArray[np.float32]]:
        if self.kind == "image":
            return _measure_image
        corpus = self._read_stored_corpus()

        def measure(value: str | bytes) -> NDArray[np.float32]:
            found = text_properties([str(value)], corpus)
            return np.array([found[name][0] for name in self.names], dtype=np.float32)

        return measure

    def _read_stored_corpus(self) -> Corpus:
        if self._corpus is None:
            with np.load(self._corpus_path, allow_pickle=False) as stored:
                words = json.loads(stored["words"].tobytes())
                self._corpus = Corpus(
                    int(stored["texts"]), words, stored["scripts"], stored["trigrams"]
                )
        return self._corpus


def _measure_image(value: str | bytes) -> NDArray[np.float32]:
    from PIL import Image

    try:
        with Image.open(BytesIO(bytes(value))) as image:  # type: ignore[arg-type]
            width, height = image.size
            image.draft(None, (LONGEST_SIDE, LONGEST_SIDE))
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            plain = image.mode in ("L", "RGB", "RGBA") or image.mode.startswith(("I", "F"))
            found = image_properties(np.asarray(image if plain else image.convert("RGB")))
    except Exception:  # what cannot be measured is missing; the encoder says what is wrong with it
        return np.full(len(IMAGE_PROPERTIES), FAILED, dtype=np.float32)
    found |= {"image:size": float(width * height), "image:aspect": width / height}
    return np.array([found[name] for name in IMAGE_PROPERTIES], dtype=np.float32)
