"""Seconds and memory of the exact search for near-duplicates.

    make bench-near-duplicates ARGS="[--rows 100000] [--width 384] [--holdout 2000]"

Prints a row per kind of data (isotropic, clustered, narrow cone) and search (all rows against a
hold-out; all pairs of rows), each in a process of its own from a memory-mapped file: the threshold
that random pairs give, what was found, seconds, and the most memory beyond what the process held
before the search. Set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 for one core.
"""

import argparse
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.duplicate_threshold import threshold_from_random_pairs
from backend.evaluation.near_duplicates import near_duplicates, similar_pairs

KINDS = ("isotropic", "clustered", "narrow cone")
COPIES = 500  # rows that are another row plus a little noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--holdout", type=int, default=2_000)
    options = parser.parse_args()
    print("data         search     threshold   found  seconds  memory MB")
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            path = Path(folder) / "rows.npy"
            np.save(path, drawn(kind, options.rows, options.width))
            for search in ("hold-out", "all pairs"):
                here, there = multiprocessing.Pipe(duplex=False)
                process = multiprocessing.get_context("spawn").Process(
                    target=measure, args=(path, search, options.holdout, there)
                )
                process.start()
                threshold, found, seconds, memory = here.recv()
                process.join()
                print(
                    f"{kind:12} {search:10} {threshold:9.4f} {found:7} "
                    f"{seconds:8.1f} {memory:10.0f}",
                    flush=True,
                )


def drawn(kind: str, rows: int, width: int) -> NDArray[np.float32]:
    """Rows with a falling spectrum, as real embeddings have, and planted near-duplicates."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((rows, width), dtype=np.float32)
    if kind != "isotropic":
        values *= (np.arange(1, width + 1) ** -0.5).astype(np.float32)
    if kind == "clustered":
        centres = rng.standard_normal((50, width), dtype=np.float32)
        values = values + centres[rng.integers(50, size=rows)]
    if kind == "narrow cone":
        values = values * np.float32(0.2) + np.float32(1.0)
    copied = rng.permutation(rows)[: 2 * COPIES].reshape(2, -1)
    noise = rng.standard_normal((copied.shape[1], width), dtype=np.float32)
    values[copied[0]] = values[copied[1]] + np.float32(0.001) * noise
    return values


def measure(path: Path, search: str, holdout: int, result: Connection) -> None:
    """Sends (threshold, number found, seconds, megabytes)."""
    embeddings = np.load(path, mmap_mode="r")
    threshold = threshold_from_random_pairs(embeddings, seed=0, holdout_size=holdout).cosine
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = memory_high_water()
    started = time.perf_counter()
    if search == "hold-out":
        rows = np.random.default_rng(1).permutation(len(embeddings))
        members, others = np.sort(rows[:holdout]), np.sort(rows[holdout:])
        found = near_duplicates(embeddings, embeddings[members], threshold).rows
        count = len(np.intersect1d(found, others))
    else:
        count = len(similar_pairs(embeddings, threshold).cosines)
    seconds = time.perf_counter() - started
    result.send((threshold, count, seconds, memory_high_water() - before))


def memory_high_water() -> float:
    """Megabytes: the most that was ever resident without the pages of mapped files."""
    status = Path("/proc/self/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return (int(fields["VmHWM"].split()[0]) - int(fields["RssFile"].split()[0])) / 1024


if __name__ == "__main__":
    main()
