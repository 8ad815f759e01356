"""The demo's labelling projects: made once, filled, and found again at the next start."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from demo.datasets import Dataset
from demo.labelstudio_server import LabelStudioServer
from demo.labelstudio_session import LabelStudioAnswerError, LabelStudioSession
from demo.report import write_private

IMPORT_BATCH = 1000
CONFIGS: Mapping[str, Mapping[str, Any]] = {"text": {"preannotate": "queue"}, "image": {}}


@dataclass
class DemoProject:
    """What is known of one project; `connected_url` is AskNext's address when last connected."""

    id: int
    kind: str
    imported: bool = False
    connected_url: str | None = None


class ProjectStore:
    """The projects that a data folder holds, kept in one small file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.projects: dict[str, DemoProject] = {}
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            self.projects = {kind: DemoProject(**fields) for kind, fields in kept.items()}

    def save(self) -> None:
        """Write the file in one step."""
        kept = {kind: asdict(project) for kind, project in self.projects.items()}
        write_private(self.path, json.dumps(kept, indent=2) + "\n")


def link_files(server: LabelStudioServer, dataset: Dataset) -> None:
    """Put the data set's folder where Label Studio serves files from, without copying it."""
    if dataset.folder is None or dataset.folder_name is None:
        return
    server.files_directory.mkdir(parents=True, exist_ok=True)
    link = server.files_directory / dataset.folder_name
    if link.is_symlink():
        link.unlink()
    link.symlink_to(dataset.folder, target_is_directory=True)


def ensure_project(
    store: ProjectStore, session: LabelStudioSession, server: LabelStudioServer, dataset: Dataset
) -> DemoProject:
    """Return the data set's project with all its tasks; make and import only what is missing."""
    known = store.projects.get(dataset.kind)
    if known is None or not _exists(session, known.id):
        known = DemoProject(
            session.create_project(
                dataset.title, dataset.label_config, description=f"{len(dataset.tasks)} tasks"
            ),
            dataset.kind,
        )
        store.projects[dataset.kind] = known
        store.save()
    if known.imported:
        return known
    if dataset.folder_name is not None:
        _serve_folder_once(session, known.id, str(server.files_directory / dataset.folder_name))
    present = {task["data"]["source_id"] for task in session.tasks(known.id)}
    missing = [task for task in dataset.tasks if task["source_id"] not in present]
    for start in range(0, len(missing), IMPORT_BATCH):
        session.import_tasks(known.id, missing[start : start + IMPORT_BATCH])
    known.imported = True
    store.save()
    return known


def _exists(session: LabelStudioSession, project: int) -> bool:
    try:
        session.project(project)
    except LabelStudioAnswerError as error:
        if error.status == 404:
            return False
        raise
    return True


def _serve_folder_once(session: LabelStudioSession, project: int, folder: str) -> None:
    storages = session.request("GET", f"/api/storages/localfiles/?project={project}")
    if not any(storage["path"] == folder for storage in storages):
        session.serve_folder(project, folder)
