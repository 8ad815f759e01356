"""A backtest on disk: its data, and each run's outcome as soon as it is there.

`<folder>/<key>/` is named by a digest of the data and the settings; in it lie `data.npz` and one
file for each strategy and seed. A stopped backtest goes on where it was, and more strategies or
seeds run only what is new.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from backend.backtest.labelled_data import LabelledData
from backend.backtest.plan import Plan
from backend.backtest.runs import Outcome, Run

# Runs that are trained as one optimisation: fewer waste operations, more fall out of the caches.
RUNS_AT_ONCE = 6
# Worker processes that share the runs of a backtest.
DEFAULT_JOBS = 2


class Kept:
    """The folder of one backtest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, root: Path, data: LabelledData, plan: Plan) -> "Kept":
        """The folder for this data and these settings, made where it is absent."""
        kept = cls(root / plan.key(data))
        if not (kept.folder / "data.npz").exists():
            data.save(kept.folder / "data.npz")
        (kept.folder / "plan.json").write_text(json.dumps(asdict(plan)), encoding="utf-8")
        return kept

    def data(self) -> LabelledData:
        """The data."""
        return LabelledData.load(self.folder / "data.npz")

    def plan(self) -> Plan:
        """The settings."""
        return Plan(**json.loads((self.folder / "plan.json").read_text(encoding="utf-8")))

    def has(self, run: Run) -> bool:
        """Whether this run is made."""
        return self._path(run).exists()

    def add(self, run: Run, outcome: Outcome) -> None:
        """Keep an outcome, whole or not at all."""
        path = self._path(run)
        unfinished = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
        np.savez(
            unfinished,
            test=outcome.test,
            predictions=outcome.predictions.astype(np.int32),
            picked=outcome.picked,
            filled=np.array(outcome.filled),
        )
        unfinished.replace(path)

    def outcome(self, run: Run) -> Outcome:
        """The outcome of a run that is made."""
        with np.load(self._path(run), allow_pickle=False) as stored:
            return Outcome(
                stored["test"],
                stored["predictions"].astype(np.int64),
                stored["picked"],
                int(stored["filled"]),
            )

    def _path(self, run: Run) -> Path:
        written = json.dumps(run.strategy, sort_keys=True)
        name = hashlib.sha256(written.encode()).hexdigest()[:20]
        return self.folder / f"{name}-{run.seed}.npz"


def in_batches(runs: Sequence[Run], jobs: int = 1) -> list[list[Run]]:
    """The runs in the order of their seeds, so that whole pairs come first, some at a time."""
    ordered = sorted(runs, key=lambda run: run.seed)
    size = min(RUNS_AT_ONCE, max(1, -(-len(ordered) // jobs)))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
