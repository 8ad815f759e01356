"""A real Label Studio server on this machine, with its state in one folder."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from demo.labelstudio_template import copy_template, labelstudio_environment
from demo.processes import DemoError, ServerProcess, is_port_free

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT_DIRECTORY = ROOT / ".venv-labelstudio"
HOST = "127.0.0.1"
READY_SECONDS = 180.0
POLL_SECONDS = 0.2

# Label Studio refuses ML backends on this machine unless both address checks are off; the flag
# makes an import of predictions cost what it imports instead of a walk over the whole project.
SETTINGS = {
    "ML_BLOCK_LOCAL_IP": "false",
    "SSRF_PROTECTION_ENABLED": "false",
    "TASK_LOCK_TTL": "600",
    "fflag_fix_back_4620_memory_efficient_predictions_import_08012025_short": "true",
    "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
}


@dataclass(frozen=True)
class Account:
    """A Label Studio log-in."""

    email: str
    password: str


class LabelStudioServer:
    """Start and stop one Label Studio; the first account is made at the first start.

    Files under `files_directory` are served at `/data/local-files/?d=<path>` to members, once a
    project has a local storage for their folder.
    """

    def __init__(
        self,
        data_directory: Path,
        port: int,
        account: Account,
        environment_directory: Path = ENVIRONMENT_DIRECTORY,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.data_directory = data_directory.resolve()
        self.port = port
        self.account = account
        self.environment_directory = environment_directory
        self.files_directory = self.data_directory / "files"
        self.url = f"http://{HOST}:{port}"
        self.process = ServerProcess(
            name="Label Studio",
            command=[
                str(environment_directory / "bin" / "label-studio"),
                "start",
                "--no-browser",
                "--internal-host",
                HOST,
                "--port",
                str(port),
            ],
            log_file=self.data_directory / "label-studio.log",
            environment=labelstudio_environment(
                self.data_directory,
                LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=str(self.files_directory),
                LABEL_STUDIO_USERNAME=account.email,
                LABEL_STUDIO_PASSWORD=account.password,
                **SETTINGS,
                **(settings or {}),
            ),
            directory=self.data_directory,
        )

    def start(self) -> None:
        """Start the server without waiting for it.

        Raises:
            DemoError: Label Studio is not installed, or the port is taken.
        """
        if not os.access(self.environment_directory / "bin" / "label-studio", os.X_OK):
            raise DemoError("Label Studio is not installed. Run `make setup-labelstudio` first.")
        if not is_port_free(self.port):
            # Label Studio itself would move silently to the next free port.
            raise DemoError(
                f"Port {self.port} is taken, so Label Studio cannot listen there. "
                "End the other program or choose other ports with --port-base."
            )
        self.files_directory.mkdir(parents=True, exist_ok=True)
        copy_template(self.environment_directory, self.data_directory)
        self.process.start()

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> float:
        """Wait until the server answers `/health`; return the seconds waited.

        Raises:
            DemoError: the server ended or did not answer in time; shows the end of its log.
        """
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            if not self.process.running:
                raise self.process.failure("did not start")
            if self._answers():
                return time.monotonic() - begun
            time.sleep(POLL_SECONDS)
        raise self.process.failure(f"did not answer within {seconds:.0f} s")

    def stop(self) -> None:
        """End the server and every process that it started."""
        self.process.stop()

    def _answers(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/health", timeout=5, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == 200
