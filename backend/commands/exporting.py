"""`export`: the labels with their provenance, as JSON Lines."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from backend.commands.console import (
    DataDir,
    ProjectNumber,
    error_console,
    find_project,
    load_settings,
    open_label_studio,
    open_state,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    project: ProjectNumber,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file; standard output without it.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Write every annotated task with its label, split and provenance, one JSON object a line."""
    settings = load_settings(data_dir)
    with open_state(settings) as database:
        from backend.export import check_for_leaks, exported
        from backend.rounds.context import ProjectContext

        found = find_project(database, project)
        check_for_leaks(database, found)
        count = 0
        with open_label_studio(settings, found) as client:
            # A file that is there is replaced only by a whole one.
            context = ProjectContext(settings, database, found.id)
            part = None if out is None else out.with_name(out.name + ".part")
            stream = sys.stdout if part is None else part.open("w", encoding="utf-8")
            try:
                for row in exported(context, client):
                    stream.write(json.dumps(row, ensure_ascii=False) + "\n")
                    count += 1
            finally:
                if part is not None:
                    stream.close()
            if part is not None and out is not None:
                part.replace(out)
    error_console.print(f"{count:,} annotated tasks" + (f" in {out}" if out else ""))
