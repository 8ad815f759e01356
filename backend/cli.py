"""The command line: `asknext`. Each command imports what it needs when it runs."""

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from backend.commands import (
    backtesting,
    configuration,
    connecting,
    diagnosis,
    explaining,
    exporting,
    holdout,
    progress,
    servers,
)
from backend.commands.console import DataDir, Host, Port, PublicUrl, common_options, show_error
from backend.errors import AskNextError


class _Commands(TyperGroup):
    """Shows every expected failure as one line, with exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AskNextError as error:
            show_error(str(error))
        except Exception as error:
            # Whatever is no failure of the surroundings is a defect and keeps its traceback.
            message = _known(error)
            if message is None:
                raise
            show_error(message)
        raise typer.Exit(1)


app = typer.Typer(
    name="asknext",
    cls=_Commands,
    help="AskNext: the most valuable task next, in Label Studio's own label stream.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def common(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """AskNext: the most valuable task next, in Label Studio's own label stream."""
    if show_version:
        typer.echo(version("asknext"))
        raise typer.Exit
    common_options.update(data_dir=data_dir, host=host, port=port, public_url=public_url)


servers.register(app)
connecting.register(app)
progress.register(app)
diagnosis.register(app)
explaining.register(app)
exporting.register(app)
backtesting.register(app)
app.add_typer(configuration.app, name="config")
app.add_typer(holdout.app, name="holdout")


def _known(error: Exception) -> str | None:
    """One line for a failure of the surroundings; None for anything else."""
    kind = type(error)
    module = kind.__module__.split(".")[0]
    if module == "pydantic_core":
        first: Any = error.errors()[0]  # type: ignore[attr-defined]
        field = ".".join(str(part) for part in first["loc"])
        return f"The setting {field} is wrong: {first['msg']}."
    if module == "sqlalchemy" and kind.__name__ == "OperationalError":
        return f"The state database cannot be used right now: {getattr(error, 'orig', error)}"
    if module == "redis":
        return f"The queue engine does not answer ({kind.__name__}); run `asknext up`."
    return None


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
