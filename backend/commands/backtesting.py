"""`backtest`: which strategy would have saved labels, on data that is labelled already."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from backend.commands.console import (
    DataDir,
    console,
    error_console,
    find_project,
    load_settings,
    open_state,
    print_json,
    warn,
)
from backend.errors import AskNextError, ConfigurationError
from backend.settings import Settings

if TYPE_CHECKING:
    from rich.progress import Progress

    from backend.backtest.analysis import Analysis
    from backend.backtest.labelled_data import LabelledData


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backtest)


def backtest(
    project: Annotated[
        int | None,
        typer.Option("--project", help="Test on this project's labels (Label Studio's number)."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Test on a labelled file: JSON Lines or CSV.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="Column of the labels.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option("--text-column", help="Column of the texts.")
    ] = None,
    image_column: Annotated[
        str | None, typer.Option("--image-column", help="Column of the images' paths.")
    ] = None,
    group_column: Annotated[
        str | None,
        typer.Option("--group-column", help="Column of the groups (patient, volume, document)."),
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option("--embeddings", help="An .npy file with a row for each row.")
    ] = None,
    encoder: Annotated[
        str, typer.Option("--encoder", help="auto, minilm, static or efficientnet-lite0.")
    ] = "auto",
    strategies: Annotated[
        str | None,
        typer.Option("--strategies", help="A list: 'auto;margin;{\"chain\": [...]};random'."),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option("--strategy", help="One strategy, a name or JSON; may be repeated."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Labels in a round [50, less for few].")
    ] = None,
    budget: Annotated[
        int | None, typer.Option("--budget", min=2, help="Labels in all [1000, less for few].")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1000, help="Runs of each.")] = 10,
    group_limit: Annotated[
        int, typer.Option("--group-limit", min=1, help="Most picks of a group in a batch.")
    ] = 1,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write the result there as JSON; - for stdout.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write a page with all curves there (HTML).")
    ] = None,
    jobs: Annotated[
        int,
        typer.Option("--jobs", min=1, max=64, help="Workers that share the runs, one thread each."),
    ] = 2,
    data_dir: DataDir = None,
) -> None:
    """Test strategies on data that is labelled already: curves, labels saved, a recommendation.

    What is done is kept: the same command again goes on where it was stopped.
    """
    settings = load_settings(data_dir)
    if (project is None) == (data is None):
        raise AskNextError("Name either --project N or --data FILE.")
    chosen = _strategies(strategies, strategy or [])
    for path in (json_path, report):
        if path is not None and str(path) != "-" and not path.absolute().parent.is_dir():
            raise AskNextError(f"There is no folder {path.parent}; make it first.")
    from backend.backtest.analysis import analyse
    from backend.backtest.kept import Kept
    from backend.backtest.plan import fitted_plan, specification
    from backend.backtest.runs import Run
    from backend.commands.backtest_workers import make_all

    with _progress() as progress:
        if data is not None:
            from backend.backtest.reading import Source

            source = Source(
                data, label_column, text_column, image_column, group_column, embeddings, encoder
            )
            labelled = _of_file(settings, source, progress, chosen)
            title = data.name
        else:
            labelled = _of_project(settings, project or 0)
            title = f"project {project}"
        plan, notes = fitted_plan(labelled, batch, budget, group_limit, seeds=seeds)
        for spec in chosen.values():
            specification(spec, labelled, plan)
        for note in (*labelled.warnings, *notes):
            warn(note)
        kept = Kept.of(settings.data_dir / "backtest", labelled, plan)
        runs = [Run(spec, seed) for seed in range(seeds) for spec in chosen.values()]
        rounds = len(plan.points)
        known = sum(kept.has(run) for run in runs) * rounds
        task = progress.add_task("Rounds", total=len(runs) * rounds, completed=known)
        make_all(
            settings, kept, runs, jobs, lambda done: progress.update(task, completed=known + done)
        )
        outcomes = {
            name: [kept.outcome(Run(spec, seed)) for seed in range(seeds)]
            for name, spec in chosen.items()
        }
        found = analyse(labelled, plan, outcomes, notes)
        for note in found.notes[len(labelled.warnings) + len(notes) :]:
            warn(note)
    if report is not None:
        from backend.backtest.report import report_html

        report.write_text(report_html(found, title), encoding="utf-8")
    if json_path is not None and str(json_path) == "-":
        print_json(found.document())
        return
    if json_path is not None:
        json_path.write_text(json.dumps(found.document(), indent=1) + "\n", encoding="utf-8")
    _show(found, title)


def _strategies(listed: str | None, single: list[str]) -> dict[str, Any]:
    """The strategies by the name they are reported under, random included."""
    from backend.backtest.plan import DEFAULT_STRATEGIES, named
    from backend.backtest.written import read_strategies
    from strategies import GrammarError

    written = read_strategies(listed) if listed is not None else {}
    for text in single:
        written |= read_strategies(text)
    try:
        return named(written or DEFAULT_STRATEGIES)
    except GrammarError as error:
        raise ConfigurationError(error.path, error.message) from error


def _of_file(
    settings: Settings, source: Any, progress: "Progress", chosen: dict[str, Any]
) -> "LabelledData":
    from backend.backtest.reading import read_data
    from strategies import parse

    task = None

    def tell(done: int, total: int) -> None:
        nonlocal task
        if task is None:
            task = progress.add_task("Contents", total=total)
        progress.update(task, completed=done, total=total)

    parsed = [parse(spec) for spec in chosen.values()]
    return read_data(source, settings.embeddings_dir, tell, parsed)


def _of_project(settings: Settings, number: int) -> "LabelledData":
    from backend.backtest.project import project_data
    from backend.rounds.context import ProjectContext

    with open_state(settings) as database:
        found = find_project(database, number)
        context = ProjectContext(settings, database, found.id)
        try:
            return project_data(context)
        finally:
            context.close()


@contextmanager
def _progress() -> "Iterator[Progress]":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=error_console) as progress:
        yield progress


def _show(found: "Analysis", title: str) -> None:
    from backend.backtest.plan import RANDOM

    table = Table(
        title=f"{title}: curve's mean height minus random's, in points [95%]", title_justify="left"
    )
    for heading in ("strategy", "accuracy", "told apart", "visible", "macro-F1", "labels saved"):
        table.add_column(heading, justify="left" if heading == "strategy" else "right")
    for name, one in sorted(found.strategies.items(), key=lambda item: -item[1].accuracy.mean):
        if name == RANDOM:
            continue
        table.add_row(
            escape(name if len(name) <= 60 else name[:57] + "..."),
            _cell(one.accuracy, 1),
            {1: "[green]better[/]", -1: "[red]worse[/]", 0: "no"}[one.told_apart],
            "" if one.detectable is None else f"{100 * one.detectable:.1f}",
            _cell(one.macro_f1, 1),
            _cell(one.saved, 0) + " %",
        )
    console.print(table)
    console.print(f"[bold]{escape(found.recommendation.text)}[/]")


def _cell(found: Any, digits: int) -> str:
    text = f"{100 * found.mean:+.{digits}f}"
    if found.low is None:
        return text
    return text + escape(f" [{100 * found.low:+.{digits}f}, {100 * found.high:+.{digits}f}]")
