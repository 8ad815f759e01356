"""All runs of a benchmark: made by worker processes, each outcome kept as soon as it is there.

A run is known by its set, strategy, seed and points; what the results file holds already is not run
again, so that a stopped benchmark goes on where it was.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.labels.embeddings import FOLDER, ROOT

PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
ASKNEXT = "asknext"


@dataclass(frozen=True)
class Task:
    """One run. `strategy` is "random", "margin", ... or "library:name" for another library's."""

    set: str
    strategy: str
    seed: int
    points: tuple[int, ...]

    @property
    def library(self) -> str:
        return library(self.strategy)

    def request(self, folder: Path) -> dict[str, Any]:
        """What the worker is told."""
        name = self.strategy
        if self.library != ASKNEXT:
            name = name.partition(":")[2]
        return {
            "set": self.set,
            "library": self.library,
            "strategy": name,
            "seed": self.seed,
            "points": self.points,
            "folder": str(folder),
        }


def library(strategy: str) -> str:
    """The library of a strategy's name; AskNext's names and specifications carry no prefix."""
    prefix, colon, _ = strategy.partition(":")
    return prefix if colon and prefix in ("scikit-activeml", "small-text") else ASKNEXT


@dataclass(frozen=True)
class Results:
    """The results file: one JSON object a line."""

    path: Path

    def outcomes(self) -> dict[Task, dict[str, Any]]:
        """What was measured, by task; the last of several counts, failures left out."""
        found: dict[Task, dict[str, Any]] = {}
        if not self.path.exists():
            return found
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was stopped while it wrote
            if "accuracy" in entry:
                points = tuple(entry["points"])
                found[Task(entry["set"], entry["strategy"], entry["seed"], points)] = entry
        return found

    def add(self, task: Task, outcome: dict[str, Any]) -> None:
        """Keep one outcome."""
        entry = {
            "set": task.set,
            "strategy": task.strategy,
            "seed": task.seed,
            "points": task.points,
            **outcome,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def make(
    tasks: Iterable[Task],
    results: Results,
    jobs: int,
    limit: float,
    tell: Callable[[str], None],
    folder: Path = FOLDER,
) -> None:
    """Run every task on `jobs` workers at once and keep the outcomes.

    A strategy is left out of a set once one of its runs there fails or takes more than `limit`
    seconds: the next seed would fare no better.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    count = 0
    for task in tasks:
        waiting.put(task)
        count += 1
    given_up: set[tuple[str, str]] = set()
    keeping = threading.Lock()
    done = 0

    def work() -> None:
        nonlocal done
        workers: dict[str, Worker] = {}
        try:
            while True:
                try:
                    task = waiting.get_nowait()
                except queue.Empty:
                    return
                pair = (task.set, task.strategy)
                outcome: dict[str, Any] = {}
                if pair not in given_up:
                    kind = ASKNEXT if task.library == ASKNEXT else "peers"
                    worker = workers.setdefault(kind, Worker(kind, folder))
                    outcome = worker.answer(task.request(folder), limit)
                with keeping:
                    done += 1
                    if "error" in outcome and pair not in given_up:
                        given_up.add(pair)
                        tell(f"{task.strategy} on {task.set} left out: {outcome['error']}")
                    if outcome:
                        results.add(task, outcome)
                    tell(f"{done} of {count}: {task.set}, {task.strategy}, seed {task.seed}")
        finally:
            for worker in workers.values():
                worker.stop()

    threads = [threading.Thread(target=work) for _ in range(max(1, jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Worker:
    """A worker process of one environment, started when first asked and again after a failure."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._log = folder / "workers.log"
        self._python = sys.executable if kind == ASKNEXT else str(PEERS_PYTHON)
        self._process: subprocess.Popen[str] | None = None

    def answer(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """The outcome of one task, or {"error": why there is none}."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        watch = threading.Timer(limit, process.kill)
        watch.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        if not line:
            self.stop()
            return {"error": f"no answer within {limit:.0f} s, or the worker process died"}
        answered: dict[str, Any] = json.loads(line)
        return answered

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            # Many small products: one thread each is faster, and leaves the other core free.
            one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("a") as errors:
                self._process = subprocess.Popen(
                    [self._python, "-W", "ignore", "-m", "benchmarks.labels.worker"],
                    cwd=ROOT,
                    env={**os.environ, **one, "PYTHONPATH": str(ROOT)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
        return self._process


def plan(
    sets: Sequence[str], strategies: Sequence[str], seeds: int, points: tuple[int, ...]
) -> list[Task]:
    """Every run, seed by seed, so that a benchmark stopped early has whole pairs."""
    return [
        Task(name, strategy, seed, points)
        for name in sets
        for seed in range(seeds)
        for strategy in strategies
    ]
