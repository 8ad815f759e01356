"""The Label Studio token: from the environment, or a file that its owner alone can read."""

import json
import os
from pathlib import Path

from backend.errors import AskNextError
from backend.settings import Settings, write_private_file

ENVIRONMENT_VARIABLE = "LABEL_STUDIO_TOKEN"


def save_token(settings: Settings, url: str, token: str) -> None:
    """Keep the token of one Label Studio server in the data folder, with mode 0600."""
    tokens = _read(_path(settings))
    tokens[url.rstrip("/")] = token
    write_private_file(_path(settings), json.dumps(tokens, indent=2))


def load_token(settings: Settings, url: str) -> str:
    """The token for a Label Studio server; the environment comes before the file.

    Raises:
        AskNextError: there is none.
    """
    token = os.environ.get(ENVIRONMENT_VARIABLE) or _read(_path(settings)).get(url.rstrip("/"))
    if not token:
        raise AskNextError(
            f"There is no token for Label Studio at {url}; set {ENVIRONMENT_VARIABLE}, or run "
            "`asknext connect --url … --token … --project …` once."
        )
    return token


def kept_tokens(settings: Settings) -> list[str]:
    """Every token in the data folder."""
    return list(_read(_path(settings)).values())


def _path(settings: Settings) -> Path:
    return settings.data_dir / "label-studio-tokens.json"


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise AskNextError(
            f"{path} is damaged; delete it and run `asknext connect` again."
        ) from error
