"""The child process of one measurement: `python -m benchmarks.selection.child JOB ANSWER`.

Needs NumPy and, for a peer, its library; the threads of the numerical libraries are set by the
parent, in the environment, before this process starts.
"""

import importlib
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job
from benchmarks.selection.measuring import (
    limit_cores,
    limit_memory,
    limit_time,
    measured,
    peak,
    start_of_peak,
)


def main(job_file: str, answer_file: str) -> None:
    """Run the job and write its answer; a shortage of memory is an answer too."""
    job = Job.read(Path(job_file))
    path = Path(answer_file)
    limit_cores(job.cores)
    limit_memory(job.memory)
    try:
        answer = ROLES[job.role](job, path)
    except MemoryError as error:
        answer = {"outcome": "memory", "message": str(error)}
    except Exception as error:
        # A torch allocation that fails is a RuntimeError.
        short = "memory" in str(error).lower() and "alloc" in str(error).lower()
        answer = {
            "outcome": "memory" if short else "failed",
            "message": f"{type(error).__name__}: {error}"[:500],
            "answer": {"traceback": traceback.format_exc()},
        }
    path.write_text(json.dumps(answer))


def _selection(job: Job, path: Path) -> dict[str, Any]:
    arrays = Arrays(Path(job.folder), job.n)
    pool_seconds = None
    if job.role == "asknext":
        from benchmarks.selection.asknext import prepared

        call, pool_seconds = prepared(arrays, job)
    else:
        from benchmarks.selection.peers import module_of

        contender = importlib.import_module(module_of(job.library)).CONTENDERS[job.strategy]
        call = contender(arrays, job)
    limit_time(job.seconds, job.clock)
    found = measured(call)
    picks = np.asarray(found.answer).astype(np.int64).ravel()
    np.save(path.with_suffix(".npy"), picks)
    return {
        "outcome": "done",
        "seconds": found.seconds,
        "wall_seconds": found.wall_seconds,
        "pool_seconds": pool_seconds,
        "extra_bytes": found.extra_bytes,
        "repeats": found.repeats,
        "picks": str(path.with_suffix(".npy")),
    }


def _loop(job: Job, path: Path) -> dict[str, Any]:
    from benchmarks.selection.loops import LOOPS

    arrays = Arrays(Path(job.folder), job.n)
    picks: list[int] = []
    before = start_of_peak()
    wall, started = time.perf_counter(), time.process_time()
    set_up = set_up_wall = 0.0
    done = 0.0
    for done in LOOPS[job.strategy](arrays, job, picks):
        elapsed, elapsed_wall = time.process_time() - started, time.perf_counter() - wall
        if done == 0.0:
            set_up, set_up_wall = elapsed, elapsed_wall
        elif elapsed > job.prefix:
            break
    np.save(path.with_suffix(".npy"), np.array(picks, dtype=np.int64))
    return {
        "outcome": "done",
        "seconds": set_up + (elapsed - set_up) / done,
        "wall_seconds": set_up_wall + (elapsed_wall - set_up_wall) / done,
        "extra_bytes": max(0, peak() - before),
        "repeats": 1,
        "done": done,
        "picks": str(path.with_suffix(".npy")) if done >= 1.0 else "",
        "message": "" if done >= 1.0 else f"extrapolated from {extent(done, job.size)}",
    }


def extent(done: float, size: int) -> str:
    """How much of a loop was run, in picks."""
    picks = done * size
    if picks < 0.995:
        return f"{picks:.2g} of one pick"
    return "the first pick" if picks < 1.5 else f"the first {picks:,.0f} picks"


def _judge(job: Job, _: Path) -> dict[str, Any]:
    from benchmarks.selection.judging import judged

    picks = np.load(job.picks)
    return {"outcome": "done", "answer": judged(Arrays(Path(job.folder), job.n), job, picks)}


def _machine(_: Job, __: Path) -> dict[str, Any]:
    from benchmarks.selection.machine import measure

    return {"outcome": "done", "answer": measure()}


ROLES = {
    "asknext": _selection,
    "peer": _selection,
    "loop": _loop,
    "judge": _judge,
    "machine": _machine,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
