"""AskNext as the demo runs it: `asknext up` in its own session, `asknext connect`, and its API."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from demo.labelstudio_server import HOST, ROOT
from demo.processes import DemoError, ServerProcess, is_port_free

READY_SECONDS = 120.0
POLL_SECONDS = 0.2
REQUEST_SECONDS = 20.0
# Workers may take 10 s to leave a running job.
STOP_SECONDS = 40.0
# What a user has set for an installation of their own must not bend the demo's.
FOREIGN = ("ASKNEXT_", "LABEL_STUDIO_", "REDIS_URL", "DATABASE_URL")


class AskNextServer:
    """Start and stop AskNext on one folder; read what it says of its projects."""

    def __init__(
        self,
        data_directory: Path,
        port: int,
        workers: int = 2,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_directory = data_directory.resolve()
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.program = str(ROOT / ".venv" / "bin" / "asknext")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)},
            **(settings or {}),
        }
        self.process = ServerProcess(
            name="AskNext",
            command=[
                self.program,
                "up",
                "--data-dir",
                str(self.data_directory),
                "--host",
                HOST,
                "--port",
                str(port),
                "--public-url",
                self.url,
                "--workers",
                str(workers),
            ],
            log_file=self.data_directory / "up.log",
            environment={**self.environment, "PYTHONUNBUFFERED": "1"},
        )

    def start(self) -> None:
        """Start the servers and workers without waiting for them.

        Raises:
            DemoError: the port is taken, or AskNext is not installed.
        """
        if not is_port_free(self.port):
            raise DemoError(
                f"Port {self.port} is taken, so AskNext cannot listen there. "
                "End the other program or choose other ports with --port-base."
            )
        self.process.start()

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> float:
        """Wait until `/health` answers; return the seconds waited.

        Raises:
            DemoError: AskNext ended or did not answer in time; shows the end of its log.
        """
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            if not self.process.running:
                raise self.process.failure("did not start")
            if self._healthy():
                return time.monotonic() - begun
            time.sleep(POLL_SECONDS)
        raise self.process.failure(f"did not answer within {seconds:.0f} s")

    def stop(self) -> None:
        """End AskNext with its workers and its embedded server."""
        self.process.stop(STOP_SECONDS)

    def credentials(self) -> tuple[str, str]:
        """Return the user and password that guard AskNext.

        Raises:
            DemoError: AskNext has not made them yet.
        """
        path = self.data_directory / "credentials.json"
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError) as error:
            raise DemoError(f"AskNext's credentials are not in {path} yet.") from error
        return kept["user"], kept["password"]

    def connect(
        self,
        label_studio_url: str,
        token: str,
        project: int,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Connect a project by `asknext connect`; `config` None leaves the configuration alone.

        Raises:
            DemoError: AskNext refused; the message shows what it printed.
        """
        command = [
            self.program,
            "connect",
            "--data-dir",
            str(self.data_directory),
            "--url",
            label_studio_url,
            "--project",
            str(project),
            "--host",
            HOST,
            "--port",
            str(self.port),
            "--backend-url",
            self.url,
        ]
        if config:
            command += ["--config", json.dumps(config)]
        finished = subprocess.run(
            command,
            env={**self.environment, "LABEL_STUDIO_TOKEN": token},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            raise DemoError(
                f"AskNext could not be connected to project {project}:\n{finished.stdout[-3000:]}"
            )

    def projects(self) -> list[dict[str, Any]] | None:
        """Return what AskNext says of its projects; None while it does not answer."""
        try:
            answer = httpx.get(
                f"{self.url}/api/projects",
                auth=self.credentials(),
                timeout=REQUEST_SECONDS,
                trust_env=False,
            )
        except (httpx.TransportError, DemoError):
            return None
        if answer.status_code != 200:
            return None
        projects: list[dict[str, Any]] = answer.json()["projects"]
        return projects

    def _healthy(self) -> bool:
        try:
            answer = httpx.get(
                f"{self.url}/health",
                auth=self.credentials(),
                timeout=REQUEST_SECONDS,
                trust_env=False,
            )
        except (httpx.TransportError, DemoError):
            return False
        return answer.status_code == 200
