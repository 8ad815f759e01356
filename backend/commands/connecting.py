"""`connect`, `disconnect`, `pause` and `resume`: what is done to a Label Studio project."""

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from backend.commands.console import (
    AsJson,
    DataDir,
    Host,
    Port,
    ProjectNumber,
    console,
    error_console,
    find_project,
    load_settings,
    open_label_studio,
    open_state,
    print_json,
    warn,
)
from backend.commands.documents import read_document
from backend.errors import AskNextError
from backend.settings import Settings
from backend.tokens import ENVIRONMENT_VARIABLE

if TYPE_CHECKING:
    from backend.connection import ConnectReport
    from backend.store.database import Database

WATCH_SECONDS = 0.3
# Workers take some seconds to start; whoever waits longer is told that none is there.
SILENT_SECONDS = 15.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(connect)
    app.command()(disconnect)
    app.command()(pause)
    app.command()(resume)


def connect(
    project: ProjectNumber,
    url: Annotated[str | None, typer.Option("--url", help="Label Studio's address.")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            help="A personal access token of Label Studio. Other users of this machine can see a "
            f"command line: rather set {ENVIRONMENT_VARIABLE}.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config", help="The queue's configuration: JSON, or @file.yaml / @file.json."
        ),
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Although another installation drives the project.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait for the first sync.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    backend_url: Annotated[
        str | None,
        typer.Option(
            "--backend-url", "--public-url", help="The URL at which Label Studio reaches AskNext."
        ),
    ] = None,
) -> None:
    """Connect a project of Label Studio: token, sampling, ML backend, webhook, tab, first sync.

    It is safe to run again: with another configuration, a new token, or to repair a connection.
    """
    settings = load_settings(data_dir, host, port, backend_url)
    document = read_document(config) if config is not None else None
    with open_state(settings) as database:
        from backend import connection

        address, secret = _address_and_token(settings, database, project, url, token)
        steps: list[str] = []
        with error_console.status("Connecting") as status:

            def step(name: str) -> None:
                if steps:
                    error_console.print(f"[green]✓[/] {steps[-1]}")
                steps.append(name)
                status.update(name)

            report = connection.connect(
                settings,
                database,
                url=address,
                token=secret,
                label_studio_id=project,
                config=document,
                take_over=take_over,
                step=step,
            )
            error_console.print(f"[green]✓[/] {steps[-1]}")
        for warning in report.warnings:
            warn(warning)
        synced = _first_sync(settings, database, report.project_id, wait=not no_wait)
        if as_json:
            print_json({**asdict(report), "url": address, "synced": synced})
        else:
            _show_report(report, address, settings)


def disconnect(project: ProjectNumber, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Undo what `connect` changed in Label Studio; labels and AskNext's records stay."""
    settings = load_settings(data_dir)
    with open_state(settings) as database:
        from backend import connection

        found = find_project(database, project)
        with error_console.status("Disconnecting"), open_label_studio(settings, found) as client:
            problems = connection.disconnect(settings, database, client, found)
    if as_json:
        print_json({"project": project, "problems": problems})
        return
    for problem in problems:
        warn(f"This could not be undone: {problem}")
    console.print(f"Project {project} is disconnected; its labels and AskNext's records stay.")


def pause(project: ProjectNumber, data_dir: DataDir = None) -> None:
    """Stop the label stream: Label Studio serves no task of this project to anybody."""
    _switch("pause", project, data_dir)


def resume(project: ProjectNumber, data_dir: DataDir = None) -> None:
    """Let the label stream go on, from the same queue."""
    _switch("resume", project, data_dir)


def _switch(what: str, number: int, data_dir: Path | None) -> None:
    settings = load_settings(data_dir)
    with open_state(settings) as database:
        from backend import stream

        found = find_project(database, number)
        if found.state not in ("active", "paused"):
            raise AskNextError(
                f"Project {number} is {found.state}; connect it again with `asknext connect`."
            )
        action = stream.pause if what == "pause" else stream.resume
        with (
            error_console.status("Asking Label Studio"),
            open_label_studio(settings, found) as client,
        ):
            action(database, client, found)
        switched = find_project(database, number)
        told = what == "pause" and switched.state == "active"
    console.print(f"Project {number} is {switched.state}.")
    if told:
        warn(stream.ONLY_TOLD)


def _address_and_token(
    settings: Settings,
    database: "Database",
    number: int,
    url: str | None,
    token: str | None,
) -> tuple[str, str]:
    """Label Studio's address and token; a project that is known needs neither again."""
    from backend.store.projects import find
    from backend.tokens import load_token

    if url is None:
        with database.read() as session:
            known = find(session, number)
        if known is None:
            raise AskNextError(
                "Say where Label Studio is: --url http://… (it is remembered from then on)."
            )
        url = known.label_studio_url
    if not url.startswith(("http://", "https://")):
        raise AskNextError(f"--url must begin with http:// or https://, not {url!r}.")
    if token and not os.environ.get(ENVIRONMENT_VARIABLE):
        warn(
            "other users of this machine can see a token on a command line; "
            f"{ENVIRONMENT_VARIABLE} in the environment keeps it private."
        )
    return url.rstrip("/"), token or load_token(settings, url)


def _first_sync(settings: Settings, database: "Database", project_id: int, *, wait: bool) -> bool:
    """Start the first sync, and wait for its end behind a progress bar; whether it has ended."""
    from backend import jobs
    from backend.commands.workers import living_workers
    from backend.store.tables import Project, Work

    jobs.push_due(settings, database)
    told = False
    started = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=error_console, transient=True) as progress:
        bar = progress.add_task("First sync", total=None)
        while True:
            with database.read() as session:
                project = session.get_one(Project, project_id)
                work = session.get(Work, (project_id, "sync"))
                done = dict(work.progress or {}) if work is not None else {}
            if project.first_synced_at is not None or not wait:
                return project.first_synced_at is not None
            if project.last_error:
                raise AskNextError(f"The first sync failed: {project.last_error}")
            progress.update(
                bar,
                description=f"First sync: {done['what']}" if done.get("what") else "First sync",
                completed=int(done.get("done", 0)),
                total=done.get("total"),
            )
            silent = not done and time.monotonic() - started > SILENT_SECONDS
            if silent and not told and not living_workers(settings):
                warn(
                    "No worker is running: start `asknext up` on this data folder, or end this "
                    "with Ctrl-C; the sync begins with the first worker."
                )
                told = True
            time.sleep(WATCH_SECONDS)


def _show_report(report: "ConnectReport", url: str, settings: Settings) -> None:
    rows: dict[str, Any] = {
        "Project": f"{report.label_studio_id}: {report.title}",
        "Learns": f"{report.kind}, {len(report.classes)} classes: {', '.join(report.classes[:12])}"
        + (", …" if len(report.classes) > 12 else ""),
        "Events": "polled" if report.polls else "sent by Label Studio",
        "ML backend": settings.url,
        "Label here": f"{url}/projects/{report.label_studio_id}/data",
    }
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", escape(str(value)))
    console.print("[bold green]Connected.[/]")
    console.print(table)
    console.print(f"See how it goes: asknext status --project {report.label_studio_id}")
