"""`status` and `rank`: what every project is doing, and a round now."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live

from backend.commands.console import (
    AsJson,
    DataDir,
    ProjectNumber,
    console,
    error_console,
    find_project,
    load_settings,
    open_state,
    print_json,
    warn,
)
from backend.errors import AskNextError
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.store.database import Database

WATCH_SECONDS = 1.0
RANK_WATCH_SECONDS = 0.3
SILENT_SECONDS = 15.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(rank)


def status(
    project: Annotated[
        int | None, typer.Option("--project", help="Only this project (Label Studio's number).")
    ] = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every second.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show every project: labels, budget, rounds, queue, accuracy, workers, errors."""
    settings = load_settings(data_dir)
    with open_state(settings) as database:
        if as_json:
            print_json(_document(settings, database, project))
            return
        if not watch:
            console.print(_render(_document(settings, database, project)))
            return
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(_render(_document(settings, database, project)), refresh=True)
                time.sleep(WATCH_SECONDS)


def rank(
    project: ProjectNumber,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the round is done.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Ask for a round now: train on every label, rank the pool anew, publish the queue."""
    settings = load_settings(data_dir)
    with open_state(settings) as database:
        from backend import jobs
        from backend.store import work

        found = find_project(database, project)
        if found.state not in ("active", "paused"):
            raise AskNextError(
                f"Project {project} is {found.state}; connect it again with `asknext connect`."
            )
        work.request(database, found.id, "round")
        wanted = _generation(database, found.id)[0]
        jobs.push_due(settings, database)
        if not wait:
            if as_json:
                print_json({"project": project, "status": "requested"})
            else:
                console.print(f"A round of project {project} is asked for.")
            return
        _await_round(settings, database, found.id, wanted)
        from backend.overview import project_overview

        last = project_overview(settings, database, found)["rounds"][-1]
    if as_json:
        print_json({"project": project, "status": "done", "round": last})
        return
    from backend.commands.tables import describe_round

    console.print(f"[green]Done:[/] {describe_round(last)}")


def _document(settings: Settings, database: "Database", number: int | None) -> dict[str, Any]:
    from backend import engine
    from backend.commands.workers import living_workers
    from backend.overview import all_overviews, project_overview

    if number is not None:
        projects = [project_overview(settings, database, find_project(database, number))]
    else:
        projects = all_overviews(settings, database)
    return {
        "data_dir": str(Path(settings.data_dir).absolute()),
        "url": settings.url,
        "engine": engine.answers(settings),
        "workers": living_workers(settings),
        "projects": projects,
    }


def _render(document: dict[str, Any]) -> RenderableType:
    from backend.commands.curves import curves_table
    from backend.commands.tables import installation_line, project_table

    parts: list[RenderableType] = [installation_line(document)]
    parts += [project_table(overview) for overview in document["projects"]]
    if len(document["projects"]) == 1:
        curves = curves_table(document["projects"][0])
        parts += [curves] if curves is not None else []
    if not document["projects"]:
        parts.append("No project is connected yet: asknext connect --url … --project …")
    return Group(*parts)


def _generation(database: "Database", project_id: int) -> tuple[int, int]:
    """How many rounds were asked for, and which of them are done."""
    from backend.store.tables import Work

    with database.read() as session:
        row = session.get_one(Work, (project_id, "round"))
    return row.requested, row.done


def _await_round(settings: Settings, database: "Database", project_id: int, wanted: int) -> None:
    """Show the stage that runs until the round that was asked for is done.

    Raises:
        AskNextError: the project was disconnected or is gone.
    """
    from backend.commands.tables import describe_progress
    from backend.commands.workers import living_workers
    from backend.store.tables import Project, Work

    started = time.monotonic()
    told: set[str] = set()
    with error_console.status("Waiting for a worker") as spinner:
        while True:
            with database.read() as session:
                row = session.get_one(Work, (project_id, "round"))
                found = session.get_one(Project, project_id)
            if row.done >= wanted:
                return
            if found.state not in ("active", "paused"):
                raise AskNextError(f"Project {found.label_studio_id} is {found.state} now.")
            if row.attempts and found.last_error and found.last_error not in told:
                told.add(found.last_error)
                warn(f"a try failed and is repeated: {found.last_error}")
            if row.owner is not None:
                spinner.update(f"Round: {describe_progress(row.progress or {})}")
            elif found.holdout_drawn_at is None:
                spinner.update("Waiting until the hold-outs are drawn")
            else:
                spinner.update("Waiting for a worker")
                silent = time.monotonic() - started > SILENT_SECONDS
                if silent and "workers" not in told and not living_workers(settings):
                    told.add("workers")
                    warn("no worker is running: start `asknext up` on this data folder.")
            time.sleep(RANK_WATCH_SECONDS)
