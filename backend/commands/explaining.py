"""`explain`: why a task is in the queue, or why it is not."""

from typing import Annotated, Any

import typer
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


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    project: ProjectNumber,
    task: Annotated[int, typer.Option("--task", help="Label Studio's number of the task.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say in one sentence why a task is in the queue, and show what decided it."""
    settings = load_settings(data_dir)
    with open_state(settings) as database:
        from backend.explanation import explain as explanation

        document = explanation(database, find_project(database, project), task)
    if as_json:
        print_json(document)
        return
    console.print(escape(document["sentence"]))
    table = Table(show_header=False, box=None)
    for name, value in _rows(document):
        table.add_row(f"[dim]{name}[/]", escape(value))
    console.print(table)


def _rows(document: dict[str, Any]) -> list[tuple[str, str]]:
    """What decided, one line each; the sentence and what is empty are left out."""
    shown = {**document, **document.get("details", {})}
    rows = []
    for name, value in shown.items():
        if name in ("sentence", "details", "rules") or value is None:
            continue
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        rows.append((name.replace("_", " "), text))
    rows += [("rule", f"{rule['title']} ({rule['kind']})") for rule in document["rules"]]
    return rows
