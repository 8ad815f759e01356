"""Embedding many contents in slices that can stop and go on at any time."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.errors import ContentError
from backend.models.embedding_cache import EmbeddingCache
from backend.models.encoder import Encoder

# What a crash may cost in seconds of work; a shard a chunk would make thousands of tiny files.
_STORED_AT_LEAST_EVERY = 10.0
# So many shards are merged at a slice's end.
_SHARDS_BEFORE_COMPACTING = 64


@dataclass
class EmbedReport:
    """What one slice did.

    `done` counts the items that are now in the cache or failed, known ones included; `failed`
    gives a message for every content that cannot be embedded; `finished` is False when the time
    ran out first: call again with the same items, the cache remembers.
    """

    done: int = 0
    failed: dict[bytes, str] = field(default_factory=dict)
    finished: bool = False


def embed_slice(
    encoder: Encoder,
    cache: EmbeddingCache,
    items: Iterable[tuple[bytes, str | bytes]],
    seconds: float,
    progress: Callable[[int], None] = lambda done: None,  # noqa: ARG005
) -> EmbedReport:
    """Embed the items that the cache does not hold, for about `seconds`, and store the vectors.

    `items` are (content hash, content); a lazy iterable is read chunk by chunk, and its contents
    are kept no longer than their chunk. Leave out what the cache holds where reading it is dear.
    `progress` gets the number of items done so far after each chunk. The time limit is looked at
    before each item is read and between chunks of `encoder.chunk_size`, so that a slice may last
    one chunk (a few seconds) longer; at least one unknown item is always dealt with. Vectors are
    stored at least every ten seconds and at the end, whatever ends the slice.
    Raises EncoderUnavailableError; a broken content is only reported.
    """
    deadline = time.monotonic() + seconds
    report = EmbedReport()
    pending = _Pending(cache)
    stream = iter(items)
    try:
        while not report.finished:
            chunk: dict[bytes, str | bytes] = {}
            report.finished = True
            for key, value in stream:
                report.done += 1
                if not (key in cache or key in pending.vectors or key in report.failed):
                    chunk[key] = value
                late = time.monotonic() >= deadline
                if len(chunk) >= encoder.chunk_size or (late and chunk):
                    report.finished = False
                    break
            if chunk:
                _embed(encoder, chunk, pending, report)
                pending.store_if_due()
            progress(report.done)
            if time.monotonic() >= deadline:
                break
        return report
    finally:
        pending.store()
        if cache.shard_count >= _SHARDS_BEFORE_COMPACTING:
            cache.compact()


class _Pending:
    """Vectors that are computed but not yet stored."""

    def __init__(self, cache: EmbeddingCache) -> None:
        self.cache = cache
        self.vectors: dict[bytes, NDArray[np.float32]] = {}
        self.stored_at = time.monotonic()

    def store_if_due(self) -> None:
        if time.monotonic() - self.stored_at >= _STORED_AT_LEAST_EVERY:
            self.store()

    def store(self) -> None:
        if self.vectors:
            self.cache.add(list(self.vectors), np.stack(list(self.vectors.values())))
            self.vectors.clear()
        self.stored_at = time.monotonic()


def _embed(
    encoder: Encoder, chunk: dict[bytes, str | bytes], pending: _Pending, report: EmbedReport
) -> None:
    vectors = encoder.encode_each(list(chunk.values()))  # type: ignore[arg-type]
    for key, vector in zip(chunk, vectors, strict=True):
        if isinstance(vector, ContentError):
            report.failed[key] = str(vector)
        else:
            pending.vectors[key] = vector
