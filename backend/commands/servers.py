"""`up`, `serve`, `worker` and `migrate`: the processes of an installation."""

import fcntl
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated

import typer
from rich.markup import escape

from backend.commands.console import (
    DataDir,
    Host,
    Port,
    PublicUrl,
    console,
    load_settings,
    note_address,
    open_state,
    warn,
)
from backend.errors import AskNextError, EngineUnavailableError
from backend.settings import Settings

logger = logging.getLogger(__name__)

# Workers run side by side: the threads of a small matrix product would wait, spinning, for a core
# that the other worker holds. Somebody with cores to spare can set more.
ONE_PRODUCT_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
SYNC_AND_ROUND = "asknext-sync,asknext-round"
EMBED = "asknext-embed"
BACKTEST = "asknext-backtest"
# A worker in the middle of a job may take this long to finish it; then it is killed, and the job
# goes on where it was when `asknext up` runs again.
WORKER_GRACE_SECONDS = 10.0
# Embedding stores what it has every few seconds and loses nothing else.
EMBED_GRACE_SECONDS = 2.0
STYLES = {"info": "dim", "warning": "yellow", "error": "red"}

Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        min=1,
        max=64,
        help="Worker processes. 1: one for everything; 2: one for syncs and rounds, one for "
        "embedding and backtests; every further one shares the syncs and rounds, so that projects "
        "do not wait for each other's rounds, and the backtests.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(serve)
    app.command()(worker)
    app.command()(migrate)


def up(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
    workers: Workers = 2,
) -> None:
    """Run everything: the queue engine (unless REDIS_URL is set), the HTTP server, the workers."""
    settings = load_settings(data_dir, host, port, public_url, serves=True)
    # It will hold the tasks' texts and the labels.
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(settings):
        _prepare(settings)
        _run(settings, workers)


def serve(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
) -> None:
    """Run the HTTP server alone."""
    settings = load_settings(data_dir, host, port, public_url, serves=True)

    import uvicorn

    from backend.app import create_app
    from backend.commands.logs import set_up_logging

    set_up_logging(settings)
    with open_state(settings) as database:
        note_address(settings)
        uvicorn.run(
            create_app(settings, database),
            host=settings.host,
            port=settings.port,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=5,
        )


def worker(
    queues: Annotated[
        str, typer.Option("--queues", help="Queues to serve, in strict order, comma-separated.")
    ] = f"{SYNC_AND_ROUND},{EMBED},{BACKTEST}",
    data_dir: DataDir = None,
) -> None:
    """Run one worker."""
    settings = load_settings(data_dir)

    from backend.commands.leash import leash_forks
    from backend.commands.logs import set_up_logging
    from backend.jobs import QUEUES

    names = [name.strip() for name in queues.split(",") if name.strip()]
    unknown = [name for name in names if name not in QUEUES]
    if unknown or not names:
        raise AskNextError(
            f"There is no queue called {', '.join(unknown) or '(empty)'}; "
            f"choose among {', '.join(QUEUES)}."
        )
    set_up_logging(settings)
    if names != [BACKTEST]:  # which reads no state
        with open_state(settings):
            pass  # refuse a foreign schema before anything else

    from backend.worker import work

    # A job runs in a fork: killed workers leave none behind.
    leash_forks()
    # Jobs load their settings from the environment.
    os.environ.update(settings.environment())
    logger.info("Serving %s.", ", ".join(names))
    work(settings, names)


def migrate(data_dir: DataDir = None) -> None:
    """Make the state database, or bring it to this version's schema (after a backup)."""
    settings = load_settings(data_dir)

    from backend.store.database import Database

    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.database)
    try:
        with console.status("Bringing the state to this version's schema"):
            database.migrate()
    finally:
        database.dispose()
    console.print("The state has this version's schema.")


# -------------------------------------------------------------------- what `up` does


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Hold the data folder: the operating system lets go of it when this process ends."""
    path = settings.data_dir / "up.lock"
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            raise AskNextError(
                f"`asknext up` already runs on {settings.data_dir.absolute()} (process "
                f"{stream.read().strip() or '?'}); stop it first, or use another --data-dir and "
                "--port."
            ) from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _prepare(settings: Settings) -> None:
    from backend import engine
    from backend.store.database import Database
    from backend.store.projects import installation_name

    with console.status("Preparing the state"):
        database = Database(settings.database)
        try:
            database.migrate()
            installation_name(database)
        finally:
            database.dispose()
        settings.credentials()
        if not port_is_free(settings.host, settings.port):
            raise AskNextError(
                f"Port {settings.port} of {settings.host} is taken by another program; stop it, "
                "or choose another one with --port."
            )
        if settings.redis_url is not None and not engine.answers(settings):
            raise EngineUnavailableError(
                "The server that REDIS_URL names does not answer; start it, correct REDIS_URL, or "
                "unset it to use the embedded one."
            )
        if settings.redis_url is None and engine.answers(settings):
            _end_orphaned_engine(settings)


def _end_orphaned_engine(settings: Settings) -> None:
    """End an embedded engine that outlived its `asknext up` (nobody else holds the folder)."""
    from backend import engine

    connection = engine.connect(settings)
    try:
        connection.shutdown(nosave=True)
    finally:
        connection.close()
    until = time.monotonic() + 10
    while engine.answers(settings) and time.monotonic() < until:
        time.sleep(0.1)


def _run(settings: Settings, workers: int) -> None:
    from backend import engine
    from backend.supervisor import Child, Supervisor

    note_address(settings)
    logs = settings.data_dir.absolute() / "logs"
    environment = {**settings.environment(), "PYTHONUNBUFFERED": "1"}
    asknext = (sys.executable, "-P", "-m", "backend.cli")
    children = []
    if settings.redis_url is None:
        children.append(
            Child(
                "engine",
                tuple(engine.command(settings)),
                logs / "engine.log",
                environment,
                stage=0,
                ready=partial(engine.answers, settings),
            )
        )
    children.append(
        Child(
            "http",
            (*asknext, "serve"),
            logs / "http.log",
            environment,
            stage=1,
            ready=partial(is_served, settings),
        )
    )
    children += [
        Child(
            f"worker-{number}",
            (*asknext, "worker", "--queues", queues),
            logs / f"worker-{number}.log",
            {**ONE_PRODUCT_THREAD, **environment},
            stage=2,
            grace_seconds=WORKER_GRACE_SECONDS if "sync" in queues else EMBED_GRACE_SECONDS,
        )
        for number, queues in enumerate(queues_of(workers), 1)
    ]
    with Supervisor(children, _tell) as supervisor:
        with console.status("Starting"):
            supervisor.start()
        _greet(settings, workers)
        supervisor.run()
        console.print("Ending; running jobs have a moment to finish (Ctrl-C again: at once).")
    console.print("Everything has ended.")


def queues_of(workers: int) -> list[str]:
    """Which queues each of so many workers serves."""
    if workers == 1:
        return [f"{SYNC_AND_ROUND},{EMBED},{BACKTEST}"]
    further = f"{SYNC_AND_ROUND},{BACKTEST}"
    return [SYNC_AND_ROUND, f"{EMBED},{BACKTEST}", *[further] * (workers - 2)]


def is_served(settings: Settings) -> bool:
    """Whether this installation's HTTP server answers with its own credentials."""
    import httpx

    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host
    credentials = settings.credentials()
    try:
        answer = httpx.get(
            f"http://{host}:{settings.port}/health",
            auth=(credentials.user, credentials.password),
            timeout=2.0,
            trust_env=False,
        )
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _greet(settings: Settings, workers: int) -> None:
    folder = settings.data_dir.absolute()
    for line in (
        f"[bold green]AskNext[/] is served at [bold]{escape(settings.url)}[/] "
        f"with {workers} worker(s).",
        f"  User      {escape(settings.credentials().user)}",
        f"  Password  in {escape(str(folder / 'credentials.json'))}",
        f"  Logs      {escape(str(folder / 'logs'))}",
        f"  Next      asknext connect --data-dir {escape(str(settings.data_dir))} "
        "--url <Label Studio> --project <number>",
        "Ctrl-C ends everything.",
    ):
        console.print(line, soft_wrap=True)
    if settings.public_url is None and settings.host in ("0.0.0.0", "::"):
        warn(
            f"Label Studio cannot call {settings.url}; say with --public-url at which address it "
            "reaches this machine."
        )


def _tell(level: str, text: str) -> None:
    moment = time.strftime("%H:%M:%S")
    console.print(f"[dim]{moment}[/] [{STYLES[level]}]{escape(text)}[/]", soft_wrap=True)
