"""`python -m demo`: a real Label Studio driven by AskNext, on this machine, with real data."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from demo.processes import DemoError
from demo.run import Demo, Options

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(BaseException):
    """A signal asks the demo to end; not an Exception, so that no handler on the way keeps it."""


def main(
    annotate: Annotated[
        int, typer.Option(min=0, help="Tasks that a scripted annotator labels in each project.")
    ] = 0,
    report: Annotated[
        Path | None, typer.Option(help="File for a JSON report, rewritten after every change.")
    ] = None,
    port_base: Annotated[
        int,
        typer.Option(min=1024, max=65534, help="Label Studio's port; AskNext takes the next one."),
    ] = 8080,
    data_dir: Annotated[
        Path, typer.Option(help="Folder of all state; the same folder resumes.")
    ] = Path("demo-data"),
    keep: Annotated[
        bool,
        typer.Option(
            "--keep/--exit",
            help="Keep the servers running until Ctrl-C, or end once all is set up and labelled.",
        ),
    ] = True,
) -> None:
    """Start Label Studio and AskNext with a text and an image project, ready to label."""
    console = Console()
    for number in SIGNALS:
        signal.signal(number, _stop)
    options = Options(annotate, report, port_base, data_dir, keep)
    try:
        Demo(options, console).run()
    except StoppedError:
        sys.exit(0)
    except DemoError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        sys.exit(1)


def _stop(_number: int, _frame: FrameType | None) -> None:
    # From here on everything is being ended; a second Ctrl-C must not leave a part of it behind.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise StoppedError


if __name__ == "__main__":
    typer.run(main)
