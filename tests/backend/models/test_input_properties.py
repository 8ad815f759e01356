"""Properties of contents are measured once, on their way to the encoder, and read as columns."""

import io
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.models.input_properties import PropertyCache
from strategies.properties.images import image_properties

TEXTS = {
    b"a" * 16: "The cat sat on the mat, and the dog sat by the door.",
    b"b" * 16: "the dog ran to the cat",
    b"c" * 16: "Der Hund lief zur Katze; 12345 Male!",
}


def picture(value: int, size: tuple[int, int] = (40, 20), mode: str = "L") -> bytes:
    rng = np.random.default_rng(value)
    pixels = rng.integers(0, max(1, value), size=size[::-1]).astype(np.uint8)
    if mode == "I;16":
        image = Image.fromarray(pixels.astype(np.uint16) * 256)
    else:
        image = Image.fromarray(pixels).convert(mode)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def measure(cache: PropertyCache, items: dict) -> None:
    with closing(cache.measured(items.items())) as stream:
        assert dict(stream) == items


def test_texts_are_measured_against_the_projects_own(tmp_path: Path) -> None:
    cache = PropertyCache(tmp_path, "text", 7, "text", 3)
    assert cache.needs_corpus
    cache.read_corpus(TEXTS.values())
    assert not cache.needs_corpus
    measure(cache, TEXTS)
    hashes = [*TEXTS, b"d" * 16]
    assert cache.contains(hashes).tolist() == [True, True, True, False]
    columns = cache.columns(hashes)
    np.testing.assert_array_equal(columns["text:words"], [13, 6, 7, np.nan])
    assert columns["text:digits"][:3].argmax() == 2
    assert columns["text:rare_words"][:3].argmax() == 2
    # Another process, later: a late text is measured against the same corpus.
    other = PropertyCache(tmp_path, "text", 7, "text", 3)
    late = {b"d" * 16: "the cat sat"}
    measure(other, late)
    cache.refresh()
    assert cache.contains([b"d" * 16]).all()
    assert PropertyCache(tmp_path, "text", 8, "text", 3).needs_corpus
    # The labelling config names another field: other texts are usual there.
    assert PropertyCache(tmp_path, "text", 7, "title", 3).needs_corpus
    # What is rare among three texts says nothing of a hundred.
    assert not PropertyCache(tmp_path, "text", 7, "text", 2).needs_corpus
    assert PropertyCache(tmp_path, "text", 7, "text", 100).needs_corpus


def test_images_are_measured_as_the_file_is(tmp_path: Path) -> None:
    cache = PropertyCache(tmp_path, "image", 1, "image", 3)
    assert not cache.needs_corpus
    items = {
        b"a" * 16: picture(200),
        b"b" * 16: picture(200, mode="RGB"),
        b"c" * 16: picture(200, mode="P"),
        b"d" * 16: picture(200, mode="I;16"),
        b"e" * 16: picture(200, size=(3_000, 10)),
    }
    measure(cache, items)
    columns = cache.columns(list(items))
    np.testing.assert_array_equal(columns["image:size"], [800, 800, 800, 800, 30_000])
    assert columns["image:aspect"][4] == 300
    with Image.open(io.BytesIO(items[b"a" * 16])) as image:
        expected = image_properties(np.asarray(image))
    for name, value in expected.items():
        assert columns[name][0] == pytest.approx(value, rel=1e-6)


def test_what_cannot_be_measured_is_missing_and_not_tried_again(tmp_path: Path) -> None:
    cache = PropertyCache(tmp_path, "image", 1, "image", 3)
    measure(cache, {b"a" * 16: b"no image", b"b" * 16: picture(9)})
    assert cache.contains([b"a" * 16]).all()
    for values in cache.columns([b"a" * 16, b"b" * 16]).values():
        assert np.isnan(values).tolist() == [True, False]


def test_what_was_measured_is_kept_when_the_stream_ends_early(tmp_path: Path) -> None:
    cache = PropertyCache(tmp_path, "image", 1, "image", 3)
    with closing(cache.measured(iter([(b"a" * 16, picture(9)), (b"b" * 16, picture(8))]))) as some:
        next(some)
    assert cache.contains([b"a" * 16, b"b" * 16]).tolist() == [True, False]


def test_many_small_streams_do_not_leave_as_many_files(tmp_path: Path) -> None:
    cache = PropertyCache(tmp_path, "image", 1, "image", 3)
    keys = [bytes([n]) * 16 for n in range(70)]
    for key in keys:
        measure(cache, {key: picture(9, size=(2, 2))})
    assert cache.contains(keys).all()
    assert len(list(tmp_path.rglob("*.npy"))) < 2 * 64
