"""Embedding many contents in slices that can stop and go on at any time."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.errors import ContentError
from backend.models.embedding_cache import EmbeddingCache
from backend.models.encoder import Embedded, Encoder

# What a crash may cost in seconds of work; a shard a chunk would make thousands of tiny files.
_STORED_AT_LEAST_EVERY = 10.0
# Shorter parts are not worth a thread.
_LEAST_PART = 4
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


def _encode_side_by_side(encoder: Encoder, values: list[str | bytes]) -> list[Embedded]:
    """Encode on every core, each with a part of its own.

    One encoding over all cores waits in every operation for the slowest of them: beside one other
    busy process that costs half of the rate, and parts side by side cost what the other takes.
    """
    cores = _cores()
    first = encoder.encode_each(values[:1])  # type: ignore[arg-type]  # loads the weights
    rest = values[1:]
    if cores == 1 or len(rest) < cores * _LEAST_PART:
        return first + (encoder.encode_each(rest) if rest else [])  # type: ignore[arg-type]
    result: list[Embedded] = [first[0], *[first[0]] * len(rest)]
    parts = [rest[start::cores] for start in range(cores)]
    with ThreadPoolExecutor(cores, initializer=_compute_in_one_thread) as pool:
        encoded = pool.map(encoder.encode_each, parts)
        for start, vectors in enumerate(encoded):
            result[1 + start :: cores] = vectors
    return result


def _cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _compute_in_one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:  # the static encoder does without
        torch.set_num_threads(1)


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
    vectors = _encode_side_by_side(encoder, list(chunk.values()))
    for key, vector in zip(chunk, vectors, strict=True):
        if isinstance(vector, ContentError):
            report.failed[key] = str(vector)
        else:
            pending.vectors[key] = vector
