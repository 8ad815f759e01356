"""Making a batch of runs and keeping each one's outcome."""

from collections.abc import Callable, Sequence
from pathlib import Path

from backend.backtest.heads import Rows
from backend.backtest.kept import Kept
from backend.backtest.runs import Run, make_runs
from backend.errors import AskNextError
from strategies import StrategyError


def make_batch(
    folder: Path,
    runs: Sequence[Run],
    tell: Callable[[int], None] = lambda rounds: None,  # noqa: ARG005
) -> str | None:
    """Make those of a few runs that are not kept yet; what went wrong, in words.

    `tell` gets how many rounds are done, those of runs that were kept before included.
    """
    kept = Kept(folder)
    plan = kept.plan()
    missing = [run for run in runs if not kept.has(run)]
    before = (len(runs) - len(missing)) * len(plan.points)
    tell(before)
    if not missing:
        return None
    data = kept.data()
    try:
        outcomes = make_runs(
            data, plan, missing, Rows(data.embeddings), lambda done: tell(before + done)
        )
    except (AskNextError, StrategyError) as error:
        return str(error)
    for run, outcome in zip(missing, outcomes, strict=True):
        kept.add(run, outcome)
    return None
