"""A process that makes runs: reads one task a line, answers one outcome a line, both JSON.

It runs once in AskNext's environment and once in that of the other libraries, with the same
splits and the same head in both; only the strategies differ. Started by `runs.py`.
"""

import json
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.labels.embeddings import Embedded, embedded
from benchmarks.labels.protocol import Selector, run


def selector(library: str, strategy: str) -> Selector:
    """The strategy of a library: "asknext", "scikit-activeml" or "small-text"."""
    if library == "asknext":
        from benchmarks.labels.asknext import AskNext

        return AskNext(strategy)
    if library == "scikit-activeml":
        from benchmarks.labels.scikit_activeml import ScikitActiveml

        return ScikitActiveml(strategy)
    if library == "small-text":
        from benchmarks.labels.small_text import SmallText

        return SmallText(strategy)
    raise ValueError(f"no library {library!r}; choose asknext, scikit-activeml or small-text")


def main() -> None:
    """Answer every task on standard input until it ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a library prints must not stand among the answers
    held: Embedded | None = None
    for line in sys.stdin:
        task: dict[str, Any] = json.loads(line)
        outcome: dict[str, Any]
        try:
            if held is None or held.name != task["set"]:
                held = embedded(task["set"], Path(task["folder"]))
            chosen = selector(task["library"], task["strategy"])
            outcome = asdict(run(held, chosen, task["seed"], task["points"]))
        except Exception as error:  # a strategy that fails costs its own run, not the benchmark
            traceback.print_exc()
            outcome = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(outcome) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
