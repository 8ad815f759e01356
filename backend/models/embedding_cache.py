"""Embeddings on disk: every content is embedded once, whatever process or round asks for it.

Layout: `<root>/<fingerprint>/<number>-<token>.npy` holds the vectors of one shard, (n, d) float32,
and `<number>-<token>.keys.npy` beside it their content hashes, (n, k) bytes. A shard's keys are
renamed into place first and its vectors last, both after fsync, so that a vectors file is a
complete shard and anything else is ignored. Shards are never changed, only added or, by `compact`,
replaced by one that holds the same vectors. Writers take turns by a lock file that the operating
system releases when its holder dies; readers need no lock.
"""

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TEMPORARY = ".tmp"
_DAMAGED = ".damaged"
_KEYS = ".keys.npy"
_COPIED_AT_ONCE = 16_384


class MissingEmbeddingError(KeyError):
    """The cache holds no vector for a hash that was asked for; `hashes` are all of them."""

    def __init__(self, hashes: list[bytes]) -> None:
        super().__init__(f"{len(hashes)} of the asked hashes have no embedding; embed them first.")
        self.hashes = hashes


@dataclass(frozen=True)
class _Shard:
    name: str
    keys: NDArray[np.uint8]
    vectors: NDArray[np.float32]
    start: int


class EmbeddingCache:
    """The vectors of one encoder, by content hash.

    Hashes are bytes of one length throughout (16 or 32 bytes). A hash added twice has the vector
    that was added last. `damaged` lists the shards that were set aside because they could not be
    read; their contents are simply embedded again. An instance serves one thread at a time; any
    number of instances, in any number of processes, share a folder.
    """

    def __init__(self, root: Path, fingerprint: str, dimension: int) -> None:
        self.folder = root / fingerprint
        self.dimension = dimension
        self.damaged: list[str] = []
        self.folder.mkdir(parents=True, exist_ok=True)
        self._shards: list[_Shard] = []
        self._rows: dict[bytes, int] = {}
        self.refresh()

    def __len__(self) -> int:
        """How many distinct hashes have a vector."""
        return len(self._rows)

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    @property
    def shard_count(self) -> int:
        """How many shards this instance reads; `compact` brings it to one."""
        return len(self._shards)

    def contains(self, hashes: Sequence[bytes]) -> NDArray[np.bool_]:
        """(n,) bool: which of the hashes have a vector."""
        rows = self._rows
        return np.fromiter((key in rows for key in hashes), dtype=np.bool_, count=len(hashes))

    def get(self, hashes: Sequence[bytes]) -> NDArray[np.float32]:
        """(n, d) float32, row i for hash i. Raises MissingEmbeddingError for absent ones."""
        found = [self._rows.get(key, -1) for key in hashes]
        if -1 in found:
            absent = [key for key, row in zip(hashes, found, strict=True) if row < 0]
            raise MissingEmbeddingError(absent)
        rows = np.array(found, dtype=np.int64)
        result = np.empty((len(rows), self.dimension), dtype=np.float32)
        starts = np.array([shard.start for shard in self._shards], dtype=np.int64)
        owners = np.searchsorted(starts, rows, side="right") - 1
        for owner in np.unique(owners):
            wanted = np.flatnonzero(owners == owner)
            shard = self._shards[owner]
            result[wanted] = shard.vectors[rows[wanted] - shard.start]
        return result

    def add(self, hashes: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Store `vectors` (n, d) under `hashes` as one new shard, durably; n = 0 does nothing.

        Raises ValueError for shapes, hash lengths or values (NaN, infinity) that do not fit.
        """
        keys, values = self._checked(hashes, vectors)
        if len(keys) == 0:
            return
        with self._writing():
            name = self._new_name()
            self._commit(name, keys, [values])
        self._read(name)

    def refresh(self) -> None:
        """See the shards that other instances have added or merged since."""
        while not self._read_all(self._names()):
            pass  # a merge took shards away after they were listed: its own are there by now

    def _read_all(self, names: list[str]) -> bool:
        """Read these shards; False where one is gone that held what another holds now."""
        known = {shard.name for shard in self._shards}
        new = [name for name in names if name not in known]
        # Reading anew keeps the order, in which the last vector of a hash wins.
        if not known <= set(names) or any(name < max(known, default="") for name in new):
            self._shards, self._rows, known = [], {}, set()
        return all(self._read(name) for name in names if name not in known)

    def compact(self) -> None:
        """Merge all shards into one, keeping the last vector of every hash.

        A crash leaves the old shards, the new one, or both; every hash keeps its vector. Readers
        that have the old shards open keep reading them until their next `refresh`.
        """
        with self._writing():
            # Rows are numbered by reading order: read anew, so that the newest shard comes last.
            self._shards, self._rows = [], {}
            self.refresh()
            merged = list(self._shards)
            if len(merged) < 2:
                return
            kept = np.sort(np.fromiter(self._rows.values(), np.int64, len(self._rows)))
            keys = np.concatenate([shard.keys for shard in merged])[kept]

            def blocks() -> Iterator[NDArray[np.float32]]:
                for start in range(0, len(keys), _COPIED_AT_ONCE):
                    yield self.get([key.tobytes() for key in keys[start : start + _COPIED_AT_ONCE]])

            name = self._new_name()
            self._commit(name, keys, blocks())
            for shard in merged:
                (self.folder / f"{shard.name}.npy").unlink(missing_ok=True)
                (self.folder / f"{shard.name}{_KEYS}").unlink(missing_ok=True)
            _sync(self.folder)
            self.refresh()

    def _checked(
        self, hashes: Sequence[bytes], vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        values = np.ascontiguousarray(vectors, dtype=np.float32)
        if values.shape != (len(hashes), self.dimension):
            raise ValueError(
                f"vectors: expected shape {(len(hashes), self.dimension)}, got {values.shape}"
            )
        lengths = {len(key) for key in hashes} | {s.keys.shape[1] for s in self._shards[:1]}
        if len(lengths) > 1 or not lengths <= {16, 32}:
            raise ValueError(f"hashes: all must have one length, 16 or 32 bytes; got {lengths}")
        if not np.isfinite(values).all():
            raise ValueError("vectors: NaN or infinite values cannot be stored")
        keys = np.frombuffer(b"".join(hashes), dtype=np.uint8)
        return keys.reshape(len(hashes), -1) if hashes else keys.reshape(0, 0), values

    def _read(self, name: str) -> bool:
        """Open one shard and index it, or set it aside when damaged; False where it is gone."""
        path = self.folder / f"{name}.npy"
        try:
            vectors = np.load(path, mmap_mode="r", allow_pickle=False)
            keys = np.load(self.folder / f"{name}{_KEYS}", allow_pickle=False)
            if vectors.dtype != np.float32 or vectors.shape[1:] != (self.dimension,):
                raise ValueError(f"vectors are {vectors.dtype} {vectors.shape}")
            if keys.dtype != np.uint8 or keys.ndim != 2 or len(keys) != len(vectors):
                raise ValueError(f"keys are {keys.dtype} {keys.shape}")
            if self._shards and keys.shape[1] != self._shards[0].keys.shape[1]:
                raise ValueError(f"keys have {keys.shape[1]} bytes")
        except (OSError, ValueError, EOFError) as error:
            if not path.exists():  # another instance has just merged it away
                return False
            path.replace(path.with_name(path.name + _DAMAGED))
            self.damaged.append(f"{name}: {error}")
            return True
        start = self._shards[-1].start + len(self._shards[-1].vectors) if self._shards else 0
        # A plain view of the mapping: memmap's own indexing is several times slower.
        self._shards.append(_Shard(name, keys, vectors.view(np.ndarray), start))
        width, joined = keys.shape[1], keys.tobytes()
        for row in range(len(keys)):
            self._rows[joined[row * width : (row + 1) * width]] = start + row
        return True

    def _names(self) -> list[str]:
        """Names of the complete shards, oldest first."""
        return sorted(
            path.name.removesuffix(".npy")
            for path in self.folder.glob("*.npy")
            if not path.name.endswith(_KEYS)
        )

    def _new_name(self) -> str:
        """A name after every shard that is or was here (damaged ones keep their number)."""
        numbers = [int(path.name.split("-")[0]) for path in self.folder.glob("[0-9]*-*.npy*")]
        return f"{max(numbers, default=0) + 1:012d}-{secrets.token_hex(4)}"

    def _commit(
        self, name: str, keys: NDArray[np.uint8], blocks: Iterable[NDArray[np.float32]]
    ) -> None:
        temporary = self.folder / f"{name}{_TEMPORARY}"
        _write(temporary, keys.shape, np.dtype(np.uint8), [keys])
        temporary.replace(self.folder / f"{name}{_KEYS}")
        _write(temporary, (len(keys), self.dimension), np.dtype(np.float32), blocks)
        temporary.replace(self.folder / f"{name}.npy")
        _sync(self.folder)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the writers' lock; whatever unfinished files lie there were left by a crash."""
        with (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for orphan in self.folder.glob(f"*{_TEMPORARY}"):
                orphan.unlink(missing_ok=True)
            for keys in self.folder.glob(f"*{_KEYS}"):
                if not (self.folder / keys.name.replace(_KEYS, ".npy")).exists():
                    keys.unlink(missing_ok=True)
            yield


def _write(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]]
) -> None:
    """One .npy file from consecutive blocks of rows, on the disk when this returns."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)  # type: ignore[no-untyped-call]
        for block in blocks:
            stream.write(np.ascontiguousarray(block).data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
