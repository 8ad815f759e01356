"""A migrated state database with one project."""

import time

import pytest

from backend.store.database import Database
from backend.store.tables import Project


@pytest.fixture
def database(tmp_path):
    opened = Database(f"sqlite:///{tmp_path / 'state.sqlite3'}")
    opened.migrate()
    yield opened
    opened.dispose()


@pytest.fixture
def project_id(database):
    with database.write() as session:
        project = Project(
            label_studio_url="http://localhost:8080",
            label_studio_id=7,
            created_at=time.time(),
            secret=b"s" * 32,
        )
        session.add(project)
        session.flush()
        return project.id
