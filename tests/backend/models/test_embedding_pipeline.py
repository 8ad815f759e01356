"""Slices stop and go on, skip what is known, and report broken contents without losing the rest."""

import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.models.embedding_cache import EmbeddingCache
from backend.models.embedding_pipeline import embed_slice
from backend.models.encoder import Encoder, load_encoder


def digest(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return hashlib.sha256(data).digest()


def items(values: list[str]) -> list[tuple[bytes, str]]:
    return [(digest(value), value) for value in values]


@pytest.fixture
def encoder() -> Encoder:
    return load_encoder("static", "text")


@pytest.fixture
def cache(tmp_path: Path, encoder: Encoder) -> EmbeddingCache:
    return EmbeddingCache(tmp_path, encoder.fingerprint, encoder.dimension)


TEXTS = [f"this is text number {index}" for index in range(5_000)]


def test_everything_is_embedded_once_and_progress_reaches_the_end(
    encoder: Encoder, cache: EmbeddingCache
) -> None:
    told: list[int] = []
    report = embed_slice(encoder, cache, items(TEXTS + TEXTS[:10]), 600, told.append)
    assert report.finished
    assert report.done == len(TEXTS) + 10 == told[-1]
    assert told == sorted(told)
    assert len(cache) == len(TEXTS)
    np.testing.assert_allclose(
        cache.get([digest(TEXTS[3]), digest(TEXTS[4_999])]),
        encoder.encode([TEXTS[3], TEXTS[4_999]]),
        atol=1e-6,
    )


def test_slices_without_time_still_get_on_and_finish(
    encoder: Encoder, cache: EmbeddingCache
) -> None:
    few = items(TEXTS[:5])
    lengths = []
    while not embed_slice(encoder, cache, few, 0).finished:
        lengths.append(len(cache))
    assert lengths == sorted(set(lengths))  # every slice adds something
    assert lengths[0] == 1
    assert len(cache) == 5


def test_what_is_known_is_not_embedded_again(encoder: Encoder, cache: EmbeddingCache) -> None:
    embed_slice(encoder, cache, items(TEXTS[:100]), 600)
    shards = cache.shard_count
    report = embed_slice(encoder, cache, items(TEXTS[:100]), 600)
    assert report.finished
    assert report.done == 100
    assert cache.shard_count == shards


def test_work_done_before_a_failing_source_is_kept(encoder: Encoder, cache: EmbeddingCache) -> None:
    def source() -> Iterator[tuple[bytes, str]]:
        yield from items(TEXTS[: encoder.chunk_size + 1])
        raise ConnectionError("the source broke")

    with pytest.raises(ConnectionError):
        embed_slice(encoder, cache, source(), 600)
    assert len(cache) == encoder.chunk_size


def test_many_small_slices_do_not_leave_many_files(encoder: Encoder, cache: EmbeddingCache) -> None:
    for text in TEXTS[:130]:
        embed_slice(encoder, cache, items([text]), 600)
    assert len(cache) == 130
    assert cache.shard_count < 64


def test_a_broken_image_is_reported_and_the_others_are_stored(tmp_path: Path) -> None:
    encoder = load_encoder("auto", "image")
    cache = EmbeddingCache(tmp_path, encoder.fingerprint, encoder.dimension)
    images = []
    for shade in range(3):
        stream = BytesIO()
        Image.new("L", (32, 32), shade * 80).save(stream, "PNG")
        images.append(stream.getvalue())
    contents = [images[0], b"broken", images[1], b"broken", images[2]]
    report = embed_slice(encoder, cache, [(digest(data), data) for data in contents], 600)
    assert report.finished
    assert report.done == 5
    assert set(report.failed) == {digest(b"broken")}
    assert cache.contains([digest(data) for data in images]).all()
