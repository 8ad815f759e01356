"""AskNext's selection next to the fastest libraries, on the same arrays in the same run.

make bench-selection                                  # 100,000 items; hours, because of the peers
make bench-selection ARGS="--quick"                   # a look at a small pool, a few minutes
make bench-selection ARGS="--strategies k_center badge --size 5000 --data isotropic"
make bench-scale                                      # a million items: does everything finish?
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import strategies
from benchmarks.selection import report, scale
from benchmarks.selection.asknext import parameters_of, small_pool_only
from benchmarks.selection.comparison import Comparison, Row
from benchmarks.selection.data import make_arrays
from benchmarks.selection.goals import Goal, goals
from benchmarks.selection.job import Job
from benchmarks.selection.machine import dense_seconds
from benchmarks.selection.process import PEERS_PYTHON, run

EXPECTED = (
    "k_center",
    "badge",
    "facility_location",
    "max_herding",
    "uherding",
    "typiclust",
    "clue",
    "k_means",
    "dropquery",
    "falcun",
    "margin",
    "entropy",
    "least_confidence",
    "bald",
    "probcover",
)
QUICK = {"n": 4_000, "size": [200], "seconds": 30.0, "prefix": 5.0}
# Wide enough for a report that goes into a file.
WIDTH = 170
console = Console()
if not console.is_terminal:
    console = Console(width=WIDTH)


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.selection",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--n", type=int, default=100_000, help="items in the pool")
    add("--d", type=int, default=384, help="dimensions of an embedding")
    add("--classes", type=int, default=10)
    add("--labelled", type=int, default=1_000)
    add("--size", type=int, nargs="+", default=[5_000, 500, 100], help="items to pick")
    add("--strategies", nargs="+", default=None, help="names; default: all that are expected")
    add("--data", choices=("clustered", "isotropic"), default="clustered")
    add("--seed", type=int, default=0)
    add("--seconds", type=float, default=300.0, help="limit of one selection, processor time")
    add("--prefix", type=float, default=60.0, help="a loop is extrapolated after so many seconds")
    add("--memory", type=float, default=16.0, help="limit of one process, GiB")
    add("--peers", nargs="*", default=None, help="libraries; none after it: without any")
    add("--quick", action="store_true", help="n = 4,000, 200 picks, half a minute for each")
    add("--scale", action="store_true", help="a million items: seconds and memory, pass or fail")
    add("--folder", type=Path, default=None, help="where the arrays go while this runs")
    add("--json", type=Path, default=None, metavar="FILE", help="write all that was measured")
    options = parser.parse_args(arguments)
    if options.quick:
        for name, value in QUICK.items():
            if getattr(options, name) == parser.get_default(name):
                setattr(options, name, value)
    if max(options.size) > options.n:
        parser.error("--size is larger than --n")
    return options


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run what was asked for, print it, and return what --json writes."""
    options = options_of(arguments)
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="asknext-selection-", dir=options.folder) as name:
        folder = Path(name)
        content = _scale(options, folder) if options.scale else _compare(options, folder)
    if options.json:
        report.write(options.json, content)
    return content


def _compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    template = _template(options, folder, options.n)
    machine = run(template, folder).answer
    dense = dense_seconds(options.n, options.d, machine["gemm_flops"])
    report.machine_lines(console, machine, dense, options.n, options.d)
    asked = tuple(options.strategies or EXPECTED)
    known = {name: parameters_of(name) for name in asked if name in strategies.names()}
    peers = options.peers
    if peers is None and not PEERS_PYTHON.exists():
        console.print("The libraries are not installed (make bench-selection does it): without.")
        peers = []
    content: dict[str, Any] = {
        "options": {**vars(options), "folder": None, "json": None},
        "machine": machine,
        "dense_seconds": dense,
        "absent": [name for name in asked if name not in known],
        "rows": [],
        "goals": [],
    }
    with console.status("Starting") as status:
        comparison = Comparison(template, folder, status.update)
        for size in options.size:
            rows: list[Row] = []
            for name in asked:
                rows += comparison.rows([name], known, size, peers)
                # What is measured is kept even if a later strategy is stopped by hand.
                if options.json:
                    made = [*content["rows"], *report.as_json(rows)]
                    report.write(options.json, {**content, "rows": made})
            title = f"{size:,} picks of {options.n:,}, d = {options.d}, {options.data}"
            console.print(report.table(rows, title))
            met = goals(rows, options.data, dense, options.n)
            if met:
                console.print(_goals_table(met))
            content["rows"] += report.as_json(rows)
            content["goals"] += [vars(goal) | {"size": size} for goal in met]
    console.print(
        "seconds: processor time on one core, the least of up to five runs where short; ratio: "
        "the contender's over AskNext's at the same n and size; ≈: extrapolated; extra MB: "
        "highest resident memory above that before the call."
    )
    return content


def _goals_table(met: list[Goal]) -> Table:
    title = "Goals (set for n = 100,000, d = 384, 5,000 picks)"
    shown = Table(title=title, title_justify="left")
    for name in ("strategy", "goal", "measured", ""):
        shown.add_column(name)
    for goal in met:
        shown.add_row(goal.strategy, goal.goal, goal.measured, "met" if goal.met else "missed")
    return shown


def _scale(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    largest = max(level.n for level in scale.LEVELS)
    levels = scale.LEVELS
    if options.quick:
        levels = tuple(scale.Level(min(options.n, 20_000), level.extra) for level in levels[:1])
        largest = levels[0].n
    template = _template(options, folder, largest)
    barred = small_pool_only()
    asked = options.strategies or [name for name in strategies.names() if name not in barred]
    names = {name: parameters_of(name) for name in asked if name in strategies.names()}
    found: list[scale.Line] = []
    with console.status("Starting") as status:
        for line in scale.lines(template, names, levels, folder, status.update):
            found.append(line)
            if options.json:
                report.write(options.json, _scale_content(found, barred))
    console.print(scale.table(found, barred))
    failed = sum(bool(line.problems) for line in found)
    console.print(f"{len(found) - failed} pass, {failed} fail.")
    return _scale_content(found, barred)


def _scale_content(found: list[scale.Line], barred: list[str]) -> dict[str, Any]:
    rows = [Row(line.measurement) for line in found]
    return {
        "small_pool_only": barred,
        "rows": [
            {**row, "problems": line.problems}
            for row, line in zip(report.as_json(rows), found, strict=True)
        ],
    }


def _template(options: argparse.Namespace, folder: Path, n: int) -> Job:
    with console.status(f"Making {n:,} items"):
        make_arrays(
            folder, n=n, dimensions=options.d, classes=options.classes,
            labelled=options.labelled, kind=options.data, seed=options.seed,
        )  # fmt: skip
    return Job(
        role="machine",
        strategy="",
        n=n,
        size=0,
        folder=str(folder),
        seed=options.seed,
        seconds=options.seconds,
        prefix=options.prefix,
        memory=int(options.memory * 2**30),
    )


if __name__ == "__main__":
    main()
