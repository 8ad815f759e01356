"""The demo's report for scripts: where everything is, how to log in, and every round so far."""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUND_FIELDS = ("number", "model_version", "queue_version", "labelled", "metrics", "seconds")


@dataclass(frozen=True)
class Access:
    """Where the two servers are and how to log in."""

    label_studio_url: str
    asknext_url: str
    email: str
    password: str
    asknext_user: str
    asknext_password: str


def report_document(
    access: Access, projects: Sequence[Mapping[str, Any]], annotated_done: bool
) -> dict[str, Any]:
    """Return the report; `projects` is what AskNext's API says, reduced to the agreed fields."""
    return {
        **vars(access),
        "annotated_done": annotated_done,
        "projects": [
            {
                "id": project["id"],
                "kind": project["kind"],
                "labelled": project["labelled"],
                "rounds": [
                    {field: entry.get(field) for field in ROUND_FIELDS}
                    for entry in project["rounds"]
                ],
            }
            for project in projects
        ],
    }


class ReportFile:
    """Write a report to a file whenever it differs from the last one written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: dict[str, Any] | None = None

    def write(self, document: dict[str, Any]) -> bool:
        """Replace the file in one step if `document` is news; return whether it was."""
        if document == self._written:
            return False
        write_private(self.path, json.dumps(document, indent=2) + "\n")
        self._written = document
        return True


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically with `text`, readable by its owner alone (it holds secrets)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    partial.replace(path)
