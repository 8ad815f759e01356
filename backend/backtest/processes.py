"""Making all runs of a backtest on worker processes, one thread each."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.backtest.heads import Rows
from backend.backtest.kept import Kept, in_batches
from backend.backtest.labelled_data import BacktestError, LabelledData
from backend.backtest.runs import Run, make_runs
from backend.errors import AskNextError
from strategies import StrategyError

DEFAULT_JOBS = 2
_LOOK_SECONDS = 0.2
# Small products: one thread each is faster, and leaves the other cores to the other processes.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# What a worker process keeps between its batches.
_held: dict[Path, tuple[LabelledData, Rows]] = {}
_rounds_done: Any = None


def make_all(kept: Kept, runs: Sequence[Run], jobs: int, tell: Callable[[int], None]) -> None:
    """Make the runs that are not kept yet; `tell` gets how many rounds were done since the last.

    Raises BacktestError where a strategy fails on this data, or a worker process dies.
    """
    missing = [run for run in runs if not kept.has(run)]
    batches = in_batches(missing, jobs)
    if not batches:
        return
    context = multiprocessing.get_context("spawn")
    rounds = context.SimpleQueue()
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            min(jobs, len(batches)), context, initializer=_begin, initargs=(rounds,)
        ) as pool,
    ):
        try:
            waiting = {pool.submit(make_batch, kept.folder, batch) for batch in batches}
            while waiting:
                done, waiting = wait(waiting, _LOOK_SECONDS, FIRST_COMPLETED)
                while not rounds.empty():
                    tell(rounds.get())
                for future in done:
                    _check(future)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def make_batch(folder: Path, runs: Sequence[Run]) -> str | None:
    """Make a few runs and keep their outcomes; what went wrong, in words."""
    kept = Kept(folder)
    if folder not in _held:
        data = kept.data()
        _held.clear()
        _held[folder] = data, Rows(data.embeddings)
    data, rows = _held[folder]
    before = 0

    def tell(done: int) -> None:
        nonlocal before
        if _rounds_done is not None:
            _rounds_done.put(done - before)
        before = done

    try:
        outcomes = make_runs(data, kept.plan(), runs, rows, tell)
    except (AskNextError, StrategyError) as error:
        return str(error)
    for run, outcome in zip(runs, outcomes, strict=True):
        kept.add(run, outcome)
    return None


def _begin(rounds: Any) -> None:
    global _rounds_done
    _rounds_done = rounds
    # A worker process that only waits for its next batch does not see that nobody is left to send
    # one.
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _check(future: "Future[str | None]") -> None:
    try:
        problem = future.result()
    except BrokenProcessPool:
        raise BacktestError(
            "A worker process died, perhaps for want of memory; run the same command again to go "
            "on, with --jobs 1 or fewer items."
        ) from None
    if problem is not None:
        raise BacktestError(f"{problem} Leave that strategy out, or give it what it needs.")


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let child processes compute in one thread; their environment is this process's."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
