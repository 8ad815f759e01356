"""What the commands share: their options, the console, errors as one line, and the state."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from backend.errors import AskNextError
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.labelstudio import LabelStudio
    from backend.store.database import Database
    from backend.store.tables import Project

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of the state, logs and models [ASKNEXT_DATA_DIR]."),
]
Host = Annotated[
    str | None, typer.Option("--host", help="Address that the HTTP server binds [ASKNEXT_HOST].")
]
Port = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="Its port [ASKNEXT_PORT].")
]
PublicUrl = Annotated[
    str | None,
    typer.Option("--public-url", help="URL at which Label Studio reaches it [ASKNEXT_PUBLIC_URL]."),
]
ProjectNumber = Annotated[
    int, typer.Option("--project", help="The project's number in Label Studio.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")]

# A command fails soon where Label Studio is away; its user can simply run it again.
COMMAND_PATIENCE_SECONDS = 3.0

console = Console()
error_console = Console(stderr=True)

# The options that came before the command's name (`asknext --data-dir X status`).
common_options: dict[str, Any] = {}


def load_settings(
    data_dir: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    public_url: str | None = None,
    *,
    serves: bool = False,
) -> Settings:
    """The settings of a command: its options, those before its name, then the environment.

    Where neither says at which address AskNext is served, a command that does not serve it itself
    takes the one that `asknext up` or `asknext serve` on this data folder noted last.
    """
    given = {"data_dir": data_dir, "host": host, "port": port, "public_url": public_url}
    chosen = {
        name: value if value is not None else common_options.get(name)
        for name, value in given.items()
    }
    settings = Settings.load(**chosen)
    said = any(
        chosen[name] is not None or os.environ.get(f"ASKNEXT_{name.upper()}")
        for name in ("host", "port", "public_url")
    )
    if serves or said:
        return settings
    return Settings.load(**{**chosen, **noted_address(settings)})


def note_address(settings: Settings) -> None:
    """Note where AskNext is served, for later commands on the same data folder."""
    note = {"host": settings.host, "port": settings.port, "public_url": settings.public_url}
    (settings.data_dir / "address.json").write_text(json.dumps(note, indent=2))


def noted_address(settings: Settings) -> dict[str, Any]:
    """What `note_address` noted; empty where nothing was."""
    try:
        note = json.loads((settings.data_dir / "address.json").read_text())
        return {name: note[name] for name in ("host", "port", "public_url")}
    except (OSError, ValueError, KeyError):
        return {}


@contextmanager
def open_state(settings: Settings) -> Iterator["Database"]:
    """The state of the installation, checked to be of this version's schema.

    Raises:
        AskNextError: there is none, or it is of another revision.
    """
    from backend.store.database import Database

    if settings.database_url is None and not (settings.data_dir / "asknext.sqlite3").exists():
        raise AskNextError(
            f"There is no AskNext state in {settings.data_dir.absolute()}; run `asknext up` there "
            "first, or name another folder with --data-dir."
        )
    database = Database(settings.database)
    try:
        database.check_revision()
        yield database
    finally:
        database.dispose()


def find_project(database: "Database", number: int) -> "Project":
    """The connected project with this number in Label Studio.

    Raises:
        AskNextError: there is none.
    """
    from backend.store.projects import find

    with database.read() as session:
        project = find(session, number)
    if project is None:
        raise AskNextError(
            f"Project {number} is not connected; run `asknext connect --url … --project {number}`."
        )
    return project


def open_label_studio(settings: Settings, project: "Project") -> "LabelStudio":
    """A client of the project's Label Studio."""
    from backend.labelstudio import LabelStudio
    from backend.tokens import load_token

    url = project.label_studio_url
    return LabelStudio(url, load_token(settings, url), patience=COMMAND_PATIENCE_SECONDS)


def print_json(document: Any) -> None:
    """Print a document to stdout as JSON, unwrapped and without colours."""
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")


def show_error(message: str) -> None:
    """Print one red line to stderr."""
    error_console.print(f"[bold red]Error:[/] [red]{escape(message)}[/]", soft_wrap=True)


def warn(message: str) -> None:
    """Print one yellow line to stderr."""
    error_console.print(f"[yellow]Note:[/] {escape(message)}", soft_wrap=True)
