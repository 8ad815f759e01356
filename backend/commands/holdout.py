"""`holdout`: the frozen hold-outs, the sealed test curve, and a new era."""

from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from backend.commands.console import (
    AsJson,
    DataDir,
    ProjectNumber,
    console,
    find_project,
    load_settings,
    open_state,
    print_json,
)

app = typer.Typer(
    help="The hold-outs: their manifest, the sealed test curve, a new era.", no_args_is_help=True
)


@app.command()
def show(project: ProjectNumber, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show which tasks are held out, by which rule, and the manifest's hash."""
    with open_state(load_settings(data_dir)) as database:
        from backend.holdouts import manifest

        document = manifest(database, find_project(database, project))
    if as_json:
        print_json(document)
        return
    by_role = {
        role: [member["task"] for member in document["members"] if member["role"] == role]
        for role in ("test", "validation")
    }
    console.print(f"Era {document['era']}, manifest [bold]{document['digest']}[/]")
    if document["precision"]:
        console.print(escape(document["precision"]["text"]))
    if document["representativeness"]:
        console.print(escape(document["representativeness"]["text"]))
    for role, tasks in by_role.items():
        console.print(f"{role}: {len(tasks)} tasks: {', '.join(map(str, sorted(tasks)))}")


@app.command()
def near(
    project: ProjectNumber,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=0.01, max=1.0, help="Another than the one in force."),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show what a near-duplicate threshold keeps from training, with the pairs around it."""
    settings = load_settings(data_dir)
    with open_state(settings) as database:
        from backend.rounds.context import ProjectContext
        from backend.rounds.near_examples import near_examples

        context = ProjectContext(settings, database, find_project(database, project).id)
        try:
            document = near_examples(context, threshold)
        finally:
            context.close()
    if as_json:
        print_json(document)
        return
    console.print(f"Threshold [bold]{document['threshold']:.4f}[/]. {escape(document['text'])}")
    if "by_data" in document:
        console.print(f"Random pairs of this pool suggest {document['by_data']:.4f}.")
    table = Table(box=box.SIMPLE)
    for heading in ("cosine", "trains", "task", "", "hold-out", ""):
        table.add_column(heading, overflow="fold")
    for pair in document["examples"]:
        table.add_row(
            f"{pair['cosine']:.4f}",
            "[red]no[/]" if pair["blocked"] else "yes",
            str(pair["task"]),
            escape(pair["value"] or ""),
            str(pair["holdout"]),
            escape(pair["holdout_value"] or ""),
        )
    console.print(table)


@app.command("open")
def open_curve(project: ProjectNumber, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Open the sealed test curve; every look is counted and shown in the status."""
    with open_state(load_settings(data_dir)) as database:
        from backend.holdouts import open_test_curve

        document = open_test_curve(database, find_project(database, project))
    if as_json:
        print_json(document)
        return
    console.print(
        f"Era {document['era']}, manifest {document['digest'][:12]}, look {document['looks']}"
    )
    table = Table(box=box.SIMPLE)
    for heading in (
        "round",
        "labelled",
        "test accuracy",
        "95% interval",
        "macro-F1",
        "on",
        "with skips",
    ):
        table.add_column(heading, justify="right")
    for record in document["rounds"]:
        table.add_row(str(record["number"]), f"{record['labelled']:,}", *_figures(record["test"]))
    console.print(table)
    newest = document["rounds"][-1] if document["rounds"] else {}
    for line in _late_figures(newest):
        console.print(escape(line))
    there = newest.get("reference")
    if there:
        console.print(escape(f"The newest on the reference: {there['text']}"))


@app.command()
def reset(
    project: ProjectNumber,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Give up the hold-outs in force; the next sync draws those of a new, numbered era."""
    with open_state(load_settings(data_dir)) as database:
        from backend.holdouts import start_new_era

        found = find_project(database, project)
        if not yes:
            typer.confirm(
                "The labels of today's test and validation tasks will train from now on, and "
                "curves of both eras cannot be compared. Start a new era?",
                abort=True,
            )
        era = start_new_era(database, found)
    console.print(escape(f"Era {era} is drawn with the next sync."))


def _late_figures(newest: dict[str, Any]) -> list[str]:
    """The newest figure on the late test tasks, and on both together."""
    both = newest.get("together")
    if not both:
        return []
    found = []
    for words, figure in (("Late test tasks", both["late"]), ("Both together", both)):
        if figure["value"] is None:
            found.append(f"{words}: {figure['reason'] or 'nothing is labelled yet'}.")
        elif figure["low"] is None:
            found.append(f"{words}: {figure['value']:.3f}; no interval: {figure['reason']}.")
        else:
            interval = f"{figure['low']:.3f} to {figure['high']:.3f}"
            found.append(f"{words}: {figure['value']:.3f} ({interval}).")
    if both.get("not_reached"):
        found.append(f"{both['not_reached']:,} tasks came later still: no label speaks for them.")
    return found


def _figures(test: dict[str, Any]) -> tuple[str, str, str, str, str]:
    if test["accuracy"] is None:
        return "-", "-", "-", "0", "-"
    skips = test.get("skips") or {"skipped": 0}
    interval = test.get("interval") or {}
    low, high = interval.get("low"), interval.get("high")
    return (
        f"{test['accuracy']:.3f}",
        f"{low:.3f} to {high:.3f}" if low is not None and high is not None else "-",
        f"{test['macro_f1']:.3f}",
        str(test["labelled"]),
        f"{skips['low']:.3f} to {skips['high']:.3f}" if skips["skipped"] else "-",
    )
