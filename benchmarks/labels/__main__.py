"""Label efficiency of AskNext's strategies and of other libraries' on the same splits.

    make bench-labels                                             # everything, hours
    make bench-labels ARGS="--seeds 3 --sets bbc_news,elpv --strategies auto,margin --no-peers"
    make bench-labels ARGS="--report"                             # what is measured so far

Every strategy labels the same pools, learns with the same logistic head and is tested on the same
test parts, seed by seed. A strategy that needs a model starts from the seed's random initial set;
one that does not chooses its first batch itself. Outcomes are kept as they come, and a run that was
stopped goes on where it was.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.labels.asknext import refusal
from benchmarks.labels.datasets import SETS
from benchmarks.labels.embeddings import FOLDER, encoded
from benchmarks.labels.protocol import POINTS
from benchmarks.labels.report import RANDOM, Measured, show
from benchmarks.labels.runs import ASKNEXT, PEERS_PYTHON, Results, library, make, plan
from strategies import names

# Other libraries' strategies of the same name and idea; the slowest come last.
PEERS = (
    "scikit-activeml:margin",
    "scikit-activeml:entropy",
    "scikit-activeml:least_confidence",
    "scikit-activeml:falcun",
    "scikit-activeml:max_herding",
    "scikit-activeml:k_center",
    "scikit-activeml:typiclust",
    "scikit-activeml:probcover",
    "scikit-activeml:clue",
    "scikit-activeml:dropquery",
    "scikit-activeml:badge",
    "small-text:margin",
    "small-text:entropy",
    "small-text:least_confidence",
    "small-text:k_center",
    "small-text:k_means",
    "small-text:cal",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs that are missing and print the report."""
    options = _parser().parse_args(arguments)
    console = Console(width=options.width) if options.width else Console()
    points = tuple(point for point in POINTS if point <= options.labels)
    sets = _listed(options.sets) if options.sets else list(SETS)
    if unknown := [name for name in sets if name not in SETS]:
        raise SystemExit(f"No set {', '.join(unknown)}; there are {', '.join(SETS)}.")
    strategies = _usable(_chosen(options), console)
    results = Results(options.folder / "runs.jsonl")
    if not options.report:
        for name in sets:
            encoded(SETS[name], options.folder)
        done = {} if options.again else results.outcomes()
        missing = [t for t in plan(sets, strategies, options.seeds, points) if t not in done]
        console.print(f"{len(missing)} runs to make, on {options.jobs} processes.")
        make(missing, results, options.jobs, options.limit, console.print, options.folder)
    measured = Measured(results.outcomes(), sets, strategies, points, options.seeds)
    show(measured, console, options.champion)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seeds", type=int, default=30, help="runs of each strategy on each set")
    add("--sets", help=f"comma-separated, of {', '.join(SETS)}")
    add(
        "--strategies",
        help="comma-separated names of AskNext's; library:name for another library's",
    )
    add(
        "--specification",
        action="append",
        default=[],
        help='one of AskNext\'s as JSON, such as {"chain": [...]}; may be repeated',
    )
    add("--no-peers", action="store_true", help="AskNext's own strategies only")
    add("--labels", type=int, default=POINTS[-1], help="stop at so many labels")
    add("--jobs", type=int, default=2, help="worker processes at once, one thread each")
    add("--limit", type=float, default=900, help="seconds after which a single run is given up")
    add("--again", action="store_true", help="measure anew what is in the results file")
    add("--report", action="store_true", help="only report what is measured so far")
    add("--champion", default="auto", help="compared with the best other strategy of each set")
    add("--folder", type=Path, default=FOLDER, help="keeps embeddings, outcomes and a log")
    add("--width", type=int, help="columns of the printed tables")
    return parser


def _chosen(options: argparse.Namespace) -> list[str]:
    chosen = list(options.specification)
    if options.strategies:
        chosen = _listed(options.strategies) + chosen
    elif not chosen:
        chosen = [*names(), *(() if options.no_peers else PEERS)]
    return list(dict.fromkeys([RANDOM, *chosen]))


def _usable(strategies: Sequence[str], console: Console) -> list[str]:
    kept = []
    for strategy in strategies:
        reason = None
        if library(strategy) == ASKNEXT:
            reason = refusal(strategy)
        elif not PEERS_PYTHON.exists():
            reason = "run `scripts/set-up peers` first"
        if reason is None:
            kept.append(strategy)
        else:
            console.print(f"Left out: {strategy} ({reason}).")
    return kept


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


if __name__ == "__main__":
    main()
