"""Reading and changing projects: look-up by Label Studio's id, events, errors, version names."""

import secrets
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.store.database import Database
from backend.store.tables import Event, Installation, Project

EVENTS_KEPT = 1000


def installation_name(database: Database) -> str:
    """This installation's name, made at first use; eight hexadecimal digits."""
    with database.read() as session:
        found = session.get(Installation, 1)
        if found is not None:
            return found.name
    with database.write() as session:
        found = session.get(Installation, 1)
        if found is None:
            found = Installation(id=1, name=secrets.token_hex(4), created_at=time.time())
            session.add(found)
        return found.name


def model_version(installation: str, round_number: int) -> str:
    """The live model's version, the answer of `/predict` and `/setup`."""
    return f"asknext-{installation}-m{round_number}"


def queue_version(installation: str, round_number: int, attempt: int) -> str:
    """The version of one publish attempt; never repeats."""
    return f"asknext-{installation}-q{round_number}.{attempt}"


def find(session: Session, label_studio_id: int) -> Project | None:
    """The project with this Label Studio id, in whatever state; the newest where there are two."""
    if not 0 < label_studio_id < 2**31:
        return None  # no project's; a database would refuse to compare it
    return session.scalars(
        sa.select(Project)
        .where(Project.label_studio_id == label_studio_id)
        .order_by(Project.id.desc())
    ).first()


def all_projects(session: Session) -> list[Project]:
    """Every project that was ever connected, by Label Studio id."""
    return list(session.scalars(sa.select(Project).order_by(Project.label_studio_id, Project.id)))


def record_event(session: Session, project_id: int, level: str, message: str) -> None:
    """Tell the admin something; the same message twice in a row is stored once, with its time."""
    last = session.scalars(
        sa.select(Event).where(Event.project_id == project_id).order_by(Event.id.desc()).limit(1)
    ).first()
    if last is not None and last.message == message:
        last.at = time.time()
        return
    session.add(Event(project_id=project_id, level=level, message=message, at=time.time()))
    if last is not None and last.id % EVENTS_KEPT == 0:
        session.execute(
            sa.delete(Event).where(Event.project_id == project_id, Event.id < last.id - EVENTS_KEPT)
        )


def record_error(database: Database, project_id: int, message: str | None) -> None:
    """Remember the project's last error, or clear it with None."""
    values: dict[str, Any] = {"last_error": message, "last_error_at": time.time()}
    if message is None:
        values["last_error_at"] = None
    with database.write() as session:
        session.execute(sa.update(Project).where(Project.id == project_id).values(**values))


def set_values(session: Session, project_id: int, **values: Any) -> None:
    """Update some columns of a project."""
    session.execute(sa.update(Project).where(Project.id == project_id).values(**values))
