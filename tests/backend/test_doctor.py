"""The doctor finds what is wrong, says how to mend it, and ends with exit code 1."""

import json
import time

import pytest
from typer.testing import CliRunner

from backend import engine
from backend.cli import app
from backend.doctor import examine
from backend.doctor.project import _model_version, _sampling
from backend.settings import Settings
from backend.store.database import Database
from backend.store.projects import installation_name
from backend.store.tables import Project


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", "a.b.c")
    return Settings.load(data_dir=tmp_path / "data", port=9)


@pytest.fixture
def database(settings):
    opened = Database(settings.database)
    opened.migrate()
    settings.credentials()
    yield opened
    opened.dispose()


@pytest.fixture
def project(database):
    with database.write() as session:
        row = Project(
            label_studio_url="http://127.0.0.1:9",
            label_studio_id=7,
            created_at=time.time(),
            secret=b"s" * 32,
        )
        session.add(row)
        session.flush()
        return row


def state_of(findings):
    return {finding.name: finding.state for finding in findings}


def test_before_the_first_start_only_the_folder_is_wrong(settings):
    findings = examine(settings)
    assert [(f.name, f.state) for f in findings] == [("Data folder", "wrong")]
    assert not settings.data_dir.exists()


@pytest.mark.usefixtures("database")
def test_what_does_not_run_is_wrong_and_what_is_there_is_not(settings):
    states = state_of(examine(settings))
    assert states["Data folder"] == states["State schema"] == states["Credentials"] == "ok"
    assert states["Queue engine"] == states["HTTP server"] == states["Workers"] == "wrong"
    assert states["Encoder static"] == "ok"


@pytest.mark.usefixtures("project")
def test_every_finding_that_is_not_ok_says_what_to_do(settings):
    findings = examine(settings)
    assert any(finding.state != "ok" for finding in findings)
    assert all(finding.mend for finding in findings if finding.state != "ok")


@pytest.mark.usefixtures("database")
def test_a_running_engine_without_workers(settings):
    process = engine.start(settings)
    try:
        findings = {finding.name: finding for finding in examine(settings)}
    finally:
        process.kill()
        process.wait()
    assert findings["Queue engine"].state == "ok"
    assert findings["Workers"].state == "wrong"
    assert "asknext-embed" in findings["Workers"].message


@pytest.mark.usefixtures("database")
def test_credentials_that_others_can_read(settings):
    path = settings.data_dir / "credentials.json"
    path.chmod(0o644)
    finding = next(f for f in examine(settings) if f.name == "Credentials")
    assert finding.state == "wrong"
    assert finding.mend == f"chmod 600 {path.absolute()}"


@pytest.mark.usefixtures("project")
def test_a_schema_of_another_version_ends_the_examination(settings, database):
    import sqlalchemy as sa

    with database.write() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    findings = examine(settings)
    assert state_of(findings)["State schema"] == "wrong"
    assert all(finding.project is None for finding in findings)


@pytest.mark.usefixtures("project")
def test_a_label_studio_that_is_down(settings):
    finding = next(f for f in examine(settings) if f.project == 7)
    assert (finding.name, finding.state) == ("Token", "wrong")
    assert "did not answer" in finding.message


@pytest.mark.usefixtures("database")
def test_a_project_that_is_not_connected(settings):
    finding = examine(settings, 99)[-1]
    assert (finding.name, finding.state, finding.project) == ("Connected", "wrong", 99)


def test_another_sampling_is_wrong():
    assert _sampling({"sampling": "Uncertainty sampling"}, 7).state == "ok"
    assert _sampling({"sampling": "Sequential sampling"}, 7).state == "wrong"


def test_the_queue_in_force_must_be_ours(database, project):
    own = f"asknext-{installation_name(database)}-q1.1"
    assert _model_version(database, project, {"model_version": ""}).state == "warning"
    project.queue_version = own
    assert _model_version(database, project, {"model_version": own}).state == "ok"
    assert _model_version(database, project, {"model_version": "AskNext"}).state == "wrong"
    foreign = _model_version(database, project, {"model_version": "asknext-00000000-q1.1"})
    assert foreign.state == "wrong"
    assert "--take-over" in foreign.mend


@pytest.mark.usefixtures("database")
def test_the_command_prints_json_and_fails(settings):
    result = CliRunner().invoke(app, ["doctor", "--data-dir", str(settings.data_dir), "--json"])
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert {"name", "state", "message", "mend", "project"} == document["findings"][0].keys()


@pytest.mark.usefixtures("database")
def test_the_command_shows_the_mend(settings):
    result = CliRunner().invoke(app, ["doctor", "--data-dir", str(settings.data_dir)])
    assert result.exit_code == 1
    assert "asknext up" in result.stdout
