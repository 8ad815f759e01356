"""`config`: show, set, validate, history and rollback of a project's configuration."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from backend.commands.console import (
    AsJson,
    DataDir,
    ProjectNumber,
    console,
    error_console,
    find_project,
    load_settings,
    open_label_studio,
    open_state,
    print_json,
    show_error,
    warn,
)
from backend.commands.documents import read_document, read_pairs
from backend.errors import AskNextError, ConfigurationError, LabelStudioError
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.store.database import Database
    from backend.store.tables import Project

app = typer.Typer(help="Show and change how a project's queue is configured.", no_args_is_help=True)

Document = Annotated[
    list[str],
    typer.Argument(
        help="key=value pairs, or one whole document: JSON, or @file.yaml / @file.json."
    ),
]


@app.command()
def show(project: ProjectNumber, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show the configuration in force."""
    settings = load_settings(data_dir)
    with open_state(settings) as database:
        found = find_project(database, project)
        refusal = _refusal(database, found)
    if as_json:
        print_json({"config": found.config, "refusal": refusal})
        return
    from backend.config import QueueConfig

    table = Table("Setting", "Value", "What it does")
    for name, field in QueueConfig.model_fields.items():
        value = found.config.get(name, field.default)
        plain = value == field.default
        text = escape(json.dumps(value))
        table.add_row(name, f"[dim]{text}[/]" if plain else f"[bold]{text}[/]", field.description)
    console.print(table)
    if refusal:
        warn(refusal)


@app.command("set")
def set_(
    project: ProjectNumber, document: Document, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Change settings (key=value), or replace the configuration (one whole document)."""
    settings = load_settings(data_dir)
    with open_state(settings) as database:
        from backend.connection import explicit_config

        found = find_project(database, project)
        given = _read(document)
        if "=" in document[0] and not document[0].startswith(("@", "{")):
            given = {**explicit_config(found.config), **given}
        _submit(settings, database, found, given, as_json)


@app.command()
def validate(document: Document, as_json: AsJson = False) -> None:
    """Check a configuration without a project and without changing anything."""
    from backend.config import parse_config

    try:
        config = parse_config(_read(document))
    except ConfigurationError as error:
        if as_json:
            print_json({"valid": False, "field": error.path, "error": error.message})
        else:
            show_error(str(error))
        raise typer.Exit(1) from None
    if as_json:
        print_json({"valid": True, "config": config.model_dump(mode="json")})
    else:
        console.print("[green]The configuration is valid.[/]")


@app.command()
def history(project: ProjectNumber, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List every change, refusals included, newest first."""
    settings = load_settings(data_dir)
    with open_state(settings) as database:
        from backend import config_history

        found = find_project(database, project)
        with database.read() as session:
            changes = config_history.history(session, found.id)
    if as_json:
        print_json(
            [
                {
                    "id": change.id,
                    "at": change.at,
                    "source": change.source,
                    "accepted": change.accepted,
                    "message": change.message,
                    "document": change.document,
                }
                for change in changes
            ]
        )
        return
    table = Table("ID", "When", "Source", "Accepted", "Document", "Message")
    for change in changes:
        table.add_row(
            str(change.id),
            f"{datetime.fromtimestamp(change.at):%Y-%m-%d %H:%M:%S}",
            change.source,
            "[green]yes[/]" if change.accepted else "[red]no[/]",
            escape(", ".join(f"{k}={json.dumps(v)}" for k, v in change.document.items())),
            escape(change.message or ""),
        )
    console.print(table)


@app.command()
def rollback(
    change: Annotated[int, typer.Argument(metavar="ID", help="A change from `config history`.")],
    project: ProjectNumber,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Put an earlier accepted configuration in force again."""
    settings = load_settings(data_dir)
    with open_state(settings) as database:
        from backend import config_history

        found = find_project(database, project)
        with database.read() as session:
            changes = config_history.history(session, found.id)
        wanted = next((row for row in changes if row.id == change), None)
        if wanted is None or not wanted.accepted:
            raise AskNextError(
                f"Change {change} of project {project} "
                + ("does not exist" if wanted is None else "was refused")
                + f"; choose an accepted one from `asknext config history --project {project}`."
            )
        _submit(settings, database, found, dict(wanted.document), as_json)


def _submit(
    settings: Settings, database: "Database", project: "Project", document: Any, as_json: bool
) -> None:
    """Put a document in force, and show it in Label Studio's own model settings."""
    from backend import config_history, connection

    outcome = config_history.submit(database, project.id, "cli", document)
    if not outcome.accepted:
        raise AskNextError(f"{outcome.message}. The old configuration stays in force.")
    number = project.label_studio_id
    project = find_project(database, number)
    try:
        with (
            error_console.status("Writing it to Label Studio"),
            open_label_studio(settings, project) as client,
        ):
            connection.write_back(settings, database, client, project)
    except LabelStudioError as error:
        # It is in force all the same: the state decides, Label Studio only shows it.
        warn(f"it is in force, but Label Studio still shows the old one: {error}")
    if as_json:
        print_json({"project": number, "config": project.config})
    else:
        console.print(f"[green]The configuration of project {number} is in force:[/]")
        console.print_json(json.dumps(connection.explicit_config(project.config)))


def _read(arguments: list[str]) -> Any:
    first = arguments[0]
    if first.startswith(("@", "{", "[")) or (len(arguments) == 1 and "=" not in first):
        if len(arguments) > 1:
            raise ConfigurationError("", "give one whole document, or key=value pairs, not both")
        return read_document(first)
    return read_pairs(arguments)


def _refusal(database: "Database", project: "Project") -> str | None:
    from backend import config_history

    with database.read() as session:
        return config_history.refusal(session, project.id)
