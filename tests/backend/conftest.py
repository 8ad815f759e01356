"""Real parts for the backend's tests: a migrated SQLite state, the app, a small text project."""

import shutil
import time

import pytest
from fastapi.testclient import TestClient

from backend.app import create_app
from backend.models.embedding_cache import EmbeddingCache
from backend.models.embedding_pipeline import embed_slice
from backend.models.static_text import StaticTextEncoder
from backend.rounds.mirror import content_hash
from backend.settings import Settings
from backend.store.database import Database
from backend.store.tables import Project
from tests.backend.text_project import TEXTS, TextProject

USER, PASSWORD = "admin", "correct horse battery staple"


@pytest.fixture(autouse=True)
def _no_foreign_environment(monkeypatch):
    for name in ("REDIS_URL", "DATABASE_URL", "LABEL_STUDIO_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    """The file of a migrated, empty state; migrating once saves every test a tenth of a second."""
    path = tmp_path_factory.mktemp("state") / "migrated.sqlite3"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.dispose()
    return path


@pytest.fixture(scope="session")
def embedded_texts(tmp_path_factory):
    """A folder with the static embeddings of the text project's 60 texts."""
    folder = tmp_path_factory.mktemp("embeddings")
    encoder = StaticTextEncoder()
    cache = EmbeddingCache(folder, encoder.fingerprint, encoder.dimension)
    embed_slice(encoder, cache, [(content_hash(text), text) for text in TEXTS], seconds=60.0)
    return folder


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data", user=USER, password=PASSWORD)


@pytest.fixture
def database(settings, migrated_file):
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    shutil.copy(migrated_file, settings.database.removeprefix("sqlite:///"))
    opened = Database(settings.database)
    yield opened
    opened.dispose()


@pytest.fixture
def project_id(database):
    """A project of which nothing is known but its address."""
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


@pytest.fixture
def text_project(settings, database, embedded_texts):
    """60 short texts about three topics, all embedded, none labelled."""
    shutil.copytree(embedded_texts, settings.embeddings_dir)
    return TextProject(settings, database)


@pytest.fixture(scope="session")
def trained_state(tmp_path_factory, migrated_file, embedded_texts):
    """A data folder in which round 1's model was trained on the true labels of tasks 1 to 30."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("trained"), user=USER, password=PASSWORD)
    shutil.copy(migrated_file, settings.database.removeprefix("sqlite:///"))
    shutil.copytree(embedded_texts, settings.embeddings_dir)
    database = Database(settings.database)
    project = TextProject(settings, database)
    project.annotate_truly(range(1, 31))
    project.train_round(1)
    database.dispose()
    return project


@pytest.fixture
def trained(settings, database, trained_state):
    """The text project with a model of round 1, learnt from the first 30 tasks."""
    database.dispose()
    shutil.rmtree(settings.data_dir)
    shutil.copytree(trained_state.settings.data_dir, settings.data_dir)
    return TextProject.reopen(settings, database, trained_state)


@pytest.fixture
def app(settings, database):
    return create_app(settings, database)


@pytest.fixture
def client(app):
    """An admitted client of the app, which follows no redirect by itself."""
    client = TestClient(app, follow_redirects=False)
    client.auth = (USER, PASSWORD)
    return client
