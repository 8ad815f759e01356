"""Logging of the long-running processes: one line an event, and no secret in any of them."""

import logging
import os
import sys

from backend.settings import Settings
from backend.tokens import ENVIRONMENT_VARIABLE, kept_tokens

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_logging(settings: Settings) -> None:
    """Log to stderr: AskNext and its server from INFO on, everybody else from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting(_secrets(settings)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("backend", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(True)


class _Redacting(logging.Formatter):
    """Should a secret ever reach a message or a traceback, it ends here."""

    def __init__(self, secrets: list[str]) -> None:
        super().__init__(FORMAT)
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _secrets(settings: Settings) -> list[str]:
    from backend.backend_auth import authorization_header

    credentials = settings.credentials()
    found = [
        credentials.password,
        authorization_header(credentials).removeprefix("Basic "),
        os.environ.get(ENVIRONMENT_VARIABLE, ""),
        *kept_tokens(settings),
        settings.redis_url.get_secret_value() if settings.redis_url else "",
        settings.database_url.get_secret_value() if settings.database_url else "",
    ]
    return [secret for secret in found if len(secret) >= 6]
