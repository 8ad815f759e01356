"""`doctor`: what is wrong with the installation, and how to mend it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from backend.commands.console import (
    AsJson,
    DataDir,
    Host,
    Port,
    PublicUrl,
    console,
    error_console,
    load_settings,
    print_json,
)

if TYPE_CHECKING:
    from backend.doctor import Finding

MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "wrong": "[red]✗[/]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    project: Annotated[
        int | None, typer.Option("--project", help="Only this project (Label Studio's number).")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
) -> None:
    """Check everything that must be right, each with its mend; exit code 1 if something is not."""
    settings = load_settings(data_dir, host, port, public_url)
    from backend.doctor import examine

    with error_console.status("Checking") as status:
        findings = examine(settings, project, step=status.update)
    wrong = any(finding.state == "wrong" for finding in findings)
    if as_json:
        print_json({"ok": not wrong, "findings": [asdict(finding) for finding in findings]})
    else:
        table = Table(show_header=False, box=None)
        for finding in findings:
            text = escape(finding.message)
            if finding.state != "ok" and finding.mend:
                text += f"\n[bold]→ {escape(finding.mend)}[/]"
            table.add_row(MARKS[finding.state], escape(_title(finding)), text)
        console.print(table)
    if wrong:
        raise typer.Exit(1)


def _title(finding: "Finding") -> str:
    return f"{finding.name} ({finding.project})" if finding.project else finding.name
