"""The cache keeps every vector through crashes, damage, merging and other readers."""

import multiprocessing
import os
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.models.embedding_cache import EmbeddingCache, MissingEmbeddingError

DIMENSION = 3


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def vector(number: float) -> np.ndarray:
    return np.array([number, -number, 0.5], dtype=np.float32)


def fill(cache: EmbeddingCache, *numbers: int) -> None:
    cache.add([key(number) for number in numbers], np.stack([vector(n) for n in numbers]))


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path, "encoder-1", DIMENSION)


def reopened(cache: EmbeddingCache) -> EmbeddingCache:
    return EmbeddingCache(cache.folder.parent, cache.folder.name, DIMENSION)


def files(cache: EmbeddingCache) -> list[str]:
    return sorted(path.name for path in cache.folder.iterdir() if path.name != ".lock")


def test_vectors_come_back_in_the_order_asked_for_also_after_reopening(
    cache: EmbeddingCache,
) -> None:
    fill(cache, 1, 2, 3)
    fill(cache, 4, 5)
    for one in (cache, reopened(cache)):
        assert len(one) == 5
        assert one.contains([key(5), key(9), key(1)]).tolist() == [True, False, True]
        got = one.get([key(5), key(1), key(5), key(3)])
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, [vector(5), vector(1), vector(5), vector(3)])
        assert one.get([]).shape == (0, DIMENSION)


def test_absent_hashes_are_named(cache: EmbeddingCache) -> None:
    fill(cache, 1)
    with pytest.raises(MissingEmbeddingError) as caught:
        cache.get([key(1), key(7), key(8)])
    assert caught.value.hashes == [key(7), key(8)]


Additions = st.lists(
    st.lists(st.tuples(st.integers(0, 12), st.floats(-9, 9, width=32)), min_size=1, max_size=6),
    max_size=8,
)


@settings(deadline=None, max_examples=40)
@given(additions=Additions, compact_after=st.sets(st.integers(0, 8)), reread=st.booleans())
def test_the_last_vector_of_a_hash_wins_whatever_is_merged_when(
    additions: list[list[tuple[int, float]]], compact_after: set[int], reread: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        writers = [EmbeddingCache(Path(folder), "encoder", DIMENSION) for _ in range(2)]
        expected: dict[bytes, np.ndarray] = {}
        for turn, addition in enumerate(additions):
            writer = writers[turn % 2]
            keys = [key(number) for number, _ in addition]
            vectors = np.stack([vector(value) for _, value in addition])
            writer.add(keys, vectors)
            expected.update(zip(keys, vectors, strict=True))
            if turn in compact_after:
                writer.compact()
        for one in [*writers, EmbeddingCache(Path(folder), "encoder", DIMENSION)]:
            one.refresh()
            if reread:
                one.compact()
            assert len(one) == len(expected)
            np.testing.assert_array_equal(
                one.get(list(expected)),
                np.stack(list(expected.values())) if expected else np.empty((0, DIMENSION)),
            )


def test_a_reader_sees_new_shards_after_refresh_and_survives_their_merging(
    cache: EmbeddingCache,
) -> None:
    fill(cache, 1)
    reader = reopened(cache)
    fill(cache, 2)
    assert not reader.contains([key(2)]).any()
    reader.refresh()
    assert reader.contains([key(2)]).all()
    cache.compact()
    np.testing.assert_array_equal(reader.get([key(1), key(2)]), [vector(1), vector(2)])
    reader.refresh()
    assert reader.shard_count == 1
    np.testing.assert_array_equal(reader.get([key(1), key(2)]), [vector(1), vector(2)])


def test_compacting_leaves_one_shard(cache: EmbeddingCache) -> None:
    for number in range(10):
        fill(cache, number, number + 1)
    cache.compact()
    assert cache.shard_count == 1
    assert len(files(cache)) == 2
    assert len(cache) == 11


def test_unfinished_files_of_a_crash_are_ignored_and_cleaned_by_the_next_writer(
    cache: EmbeddingCache,
) -> None:
    fill(cache, 1)
    (cache.folder / "000000000002-dead.tmp").write_bytes(b"half a shard")
    np.save(cache.folder / "000000000003-dead.keys.npy", np.zeros((2, 16), np.uint8))
    other = reopened(cache)
    assert len(other) == 1
    assert not other.damaged
    fill(other, 2)
    assert len(files(other)) == 4
    assert not [name for name in files(other) if "dead" in name]


@pytest.mark.parametrize("part", [".npy", ".keys.npy"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "garbled"])
def test_a_damaged_shard_is_set_aside_and_reported_and_its_hashes_are_absent(
    cache: EmbeddingCache, part: str, damage: str
) -> None:
    fill(cache, 1, 2)
    fill(cache, 3)
    name = files(cache)[0].split(".")[0]
    path = cache.folder / f"{name}{part}"
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-4], "emptied": b"", "garbled": b"x" + data[1:]}[damage])
    other = reopened(cache)
    assert [report.split(":")[0] for report in other.damaged] == [name]
    assert other.contains([key(1), key(2), key(3)]).tolist() == [False, False, True]
    assert (cache.folder / f"{name}.npy.damaged").exists()
    fill(other, 1, 2)
    again = reopened(cache)
    assert not again.damaged
    np.testing.assert_array_equal(again.get([key(2), key(3)]), [vector(2), vector(3)])


def _add_for_ever(folder: Path) -> None:
    cache = EmbeddingCache(folder, "encoder-1", DIMENSION)
    number = 0
    while True:
        fill(cache, number, number + 1)
        number += 2
        if number % 10 == 0:
            cache.compact()


def test_a_writer_killed_at_any_point_leaves_only_whole_shards(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=_add_for_ever, args=(tmp_path,))
    writer.start()
    reader = EmbeddingCache(tmp_path, "encoder-1", DIMENSION)
    seen = 0
    while seen < 60:  # at least six merges while this reader looks on
        reader.refresh()
        assert len(reader) >= seen
        seen = len(reader)
        numbers = list(range(seen))
        np.testing.assert_array_equal(
            reader.get([key(number) for number in numbers])[:, 0], np.arange(seen)
        )
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    after = EmbeddingCache(tmp_path, "encoder-1", DIMENSION)
    assert not after.damaged
    assert len(after) >= seen
    fill(after, 100_000)  # the dead writer's lock is free
    assert after.contains([key(100_000)]).all()


def test_shards_merged_away_after_they_were_listed_are_seen_where_they_went(
    tmp_path: Path,
) -> None:
    """A merge between a reader's look at the folder and its reading of the files."""
    writer = EmbeddingCache(tmp_path, "encoder-1", DIMENSION)
    fill(writer, 0, 1)
    fill(writer, 2, 3)

    class Late(EmbeddingCache):
        merged = False

        def _names(self) -> list[str]:
            names = super()._names()
            if not Late.merged:
                Late.merged = True
                writer.compact()
            return names

    reader = Late(tmp_path, "encoder-1", DIMENSION)
    assert len(reader) == 4
    assert not reader.damaged


def test_what_does_not_fit_is_refused(cache: EmbeddingCache) -> None:
    with pytest.raises(ValueError, match="shape"):
        cache.add([key(1)], np.zeros((1, 4), np.float32))
    with pytest.raises(ValueError, match="length"):
        cache.add([b"short"], np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match="NaN"):
        cache.add([key(1)], np.full((1, 3), np.nan, np.float32))
    fill(cache, 1)
    with pytest.raises(ValueError, match="length"):
        cache.add([bytes(32)], np.zeros((1, 3), np.float32))
    cache.add([], np.zeros((0, 3), np.float32))
    assert cache.shard_count == 1
