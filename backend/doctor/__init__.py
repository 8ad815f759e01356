"""Examines an installation and its projects: each finding says what to do about it."""

from collections.abc import Callable

from backend.doctor.finding import Finding
from backend.doctor.installation import examine_installation
from backend.doctor.project import examine_project
from backend.settings import Settings
from backend.store.database import Database
from backend.store.projects import all_projects, find
from backend.store.tables import Project

__all__ = ["Finding", "examine"]


def examine(
    settings: Settings,
    label_studio_id: int | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> list[Finding]:
    """Check the installation, and its connected projects (or one of them)."""
    findings: list[Finding] = []
    for finding in examine_installation(settings):
        step(finding.name)
        findings.append(finding)
    if any(f.state == "wrong" and f.name in ("Data folder", "State schema") for f in findings):
        return findings
    database = Database(settings.database)
    try:
        for project in _projects(database, label_studio_id):
            for finding in examine_project(settings, database, project):
                step(f"Project {project.label_studio_id}: {finding.name}")
                findings.append(finding)
        if label_studio_id is not None and not _projects(database, label_studio_id):
            findings.append(
                Finding(
                    "Connected",
                    "wrong",
                    f"Project {label_studio_id} is not connected.",
                    f"Run `asknext connect --url … --project {label_studio_id}`.",
                    label_studio_id,
                )
            )
    finally:
        database.dispose()
    return findings


def _projects(database: Database, label_studio_id: int | None) -> list[Project]:
    with database.read() as session:
        if label_studio_id is not None:
            found = find(session, label_studio_id)
            return [found] if found is not None else []
        return [p for p in all_projects(session) if p.state in ("active", "paused")]
