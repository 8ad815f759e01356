"""AskNext's backtest against scikit-activeml: same rows, test sets and initial labels.

    python -m benchmarks.backtest benchmark-data/labels/reuters52.npz [--items 1500] [--seeds 4]

Prints each strategy's mean accuracy over the curve by both, their difference in points, paired by
seed, with its standard error over seeds, and the greatest distance of the mean curves. Both pick
by the same rule from classifiers of the same definition; picks of chance, folds and ties differ.
Needs the peers' environment (`scripts/set-up peers`).
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from backend.backtest.curves import area_weights
from backend.backtest.labelled_data import LabelledData
from backend.backtest.plan import Plan, split, validation_size
from backend.backtest.runs import Run, make_runs
from backend.models.head import DEFAULT_PENALTY, PENALTIES

ROOT = Path(__file__).resolve().parents[2]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
STRATEGIES = ("random", "margin", "entropy", "least_confidence")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="an .npz file with embeddings and labels")
    for name, default in (("items", 1_500), ("seeds", 4), ("batch", 25), ("budget", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    data = read(options.file, options.items)
    plan = Plan(batch=options.batch, budget=options.budget)
    runs = [Run(name, seed) for name in STRATEGIES for seed in range(options.seeds)]
    own = {name: [] for name in STRATEGIES}
    for run, outcome in zip(runs, make_runs(data, plan, runs), strict=True):
        right = outcome.predictions == data.labels[outcome.test]
        own[run.strategy].append(right.mean(axis=1).tolist())
    other = by_peer(data, plan, options.seeds)
    weights = area_weights(plan.points)
    print(f"{options.file.stem}: {len(data)} items, {options.seeds} seeds, {plan.budget} labels")
    for name in STRATEGIES:
        ours, theirs = np.array(own[name]), np.array(other[name])
        gaps = 100 * (ours - theirs) @ weights
        error = gaps.std(ddof=1) / len(gaps) ** 0.5
        distance = 100 * np.abs((ours - theirs).mean(axis=0)).max()
        print(
            f"{name:17} AskNext {100 * (ours @ weights).mean():5.1f}  scikit-activeml "
            f"{100 * (theirs @ weights).mean():5.1f}  difference {gaps.mean():+.2f} ± {error:.2f}  "
            f"greatest at one point {distance:.1f}"
        )


def read(path: Path, items: int) -> LabelledData:
    with np.load(path, allow_pickle=False) as stored:
        embeddings, labels = stored["embeddings"][:items], stored["labels"][:items]
    classes, numbers = np.unique(labels, return_inverse=True)
    keys = np.arange(len(labels)).astype(np.str_)
    return LabelledData(embeddings, numbers.astype(np.int64), tuple(map(str, classes)), keys)


def by_peer(data: LabelledData, plan: Plan, seeds: int) -> dict[str, list[list[float]]]:
    arrays = {"embeddings": data.embeddings, "labels": data.labels}
    for seed in range(seeds):
        drawn = split(data, seed, validation_size(plan), plan.batch)
        arrays |= {f"test {seed}": drawn.test, f"pool {seed}": drawn.pool}
        arrays[f"initial {seed}"] = drawn.initial
    job = {"seeds": seeds, "batch": plan.batch, "budget": plan.budget, "strategies": STRATEGIES}
    job |= {"penalties": PENALTIES, "default": DEFAULT_PENALTY}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "data.npz", allow_pickle=False, **arrays)
        (folder / "job.json").write_text(json.dumps(job))
        subprocess.run(
            [PEERS_PYTHON, "-m", "benchmarks.backtest.peer", name],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            check=True,
        )
        found: dict[str, list[list[float]]] = json.loads((folder / "peer.json").read_text())
    return found


if __name__ == "__main__":
    main()
