"""Settings come from the environment; credentials are made once and kept private."""

import json
import stat

import pytest

from backend.errors import AskNextError
from backend.settings import Credentials, Settings, engine_socket_path, write_private_file


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in ("DATA_DIR", "HOST", "PORT", "PUBLIC_URL", "USER", "PASSWORD"):
        monkeypatch.delenv(f"ASKNEXT_{name}", raising=False)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_every_setting_has_an_environment_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("ASKNEXT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ASKNEXT_PORT", "7000")
    monkeypatch.setenv("REDIS_URL", "redis://queue:6379/1")
    monkeypatch.setenv("DATABASE_URL", "postgresql://state/asknext")
    settings = Settings.load()
    assert (settings.data_dir, settings.port) == (tmp_path, 7000)
    assert settings.engine_url == "redis://queue:6379/1"
    assert settings.database == "postgresql://state/asknext"


def test_what_a_command_is_told_comes_before_the_environment_where_it_is_told(monkeypatch):
    monkeypatch.setenv("ASKNEXT_PORT", "7000")
    monkeypatch.setenv("ASKNEXT_HOST", "0.0.0.0")
    settings = Settings.load(port=7001, host=None)
    assert (settings.port, settings.host) == (7001, "0.0.0.0")


def test_without_anything_the_state_and_the_engine_live_in_the_data_folder(tmp_path):
    settings = Settings.load(data_dir=tmp_path)
    assert settings.database == f"sqlite:///{tmp_path}/asknext.sqlite3"
    assert settings.engine_url.startswith("unix://")
    assert settings.url == "http://127.0.0.1:9090"


def test_the_public_address_is_the_one_that_label_studio_is_given():
    assert Settings.load(public_url="https://asknext.example/").url == "https://asknext.example"


def test_a_child_process_finds_the_same_installation(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    parent = Settings.load(data_dir="state", port=7001, redis_url="redis://q/1")
    expected = (parent.url, parent.port, parent.engine_url, parent.database)
    for name, value in parent.environment().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    child = Settings.load()
    assert child.data_dir == tmp_path / "state"
    assert (child.url, child.port, child.engine_url, child.database) == expected


def test_a_folder_deep_in_a_tree_has_a_socket_that_an_operating_system_takes(tmp_path):
    short = tmp_path / "e.sock"
    deep = tmp_path / ("d" * 120) / "e.sock"
    assert engine_socket_path(short) == short or len(str(short)) > 100
    assert len(str(engine_socket_path(deep))) <= 100
    assert engine_socket_path(deep) == engine_socket_path(deep)
    assert engine_socket_path(deep) != engine_socket_path(tmp_path / ("d" * 121) / "e.sock")


# ------------------------------------------------------------------ credentials


def test_credentials_are_made_at_first_use_kept_and_private(tmp_path):
    first = Settings(data_dir=tmp_path).credentials()
    assert first.user == "asknext"
    assert len(first.password) >= 24
    assert mode(tmp_path / "credentials.json") == 0o600
    again = Settings(data_dir=tmp_path).credentials()
    assert (again.user, again.password) == (first.user, first.password)
    other = Settings(data_dir=tmp_path / "other").credentials()
    assert other.password != first.password


def test_given_credentials_are_used_and_kept_for_the_other_processes(tmp_path):
    Settings(data_dir=tmp_path).credentials()
    Settings(data_dir=tmp_path, user="root", password="given").credentials()
    later = Settings(data_dir=tmp_path).credentials()
    assert (later.user, later.password) == ("root", "given")
    assert mode(tmp_path / "credentials.json") == 0o600


def test_damaged_credentials_are_said_to_be_so(tmp_path):
    (tmp_path / "credentials.json").write_text("{")
    with pytest.raises(AskNextError, match="delete it"):
        Settings(data_dir=tmp_path).credentials()


def test_no_representation_shows_a_secret(tmp_path):
    settings = Settings(
        data_dir=tmp_path,
        password="hunter2",
        redis_url="redis://:hunter2@q/1",
        database_url="postgresql://me:hunter2@db/x",
    )
    shown = f"{settings!r} {settings} {settings.credentials()!r} {Credentials('me', 'hunter2')}"
    assert "hunter2" not in shown


def test_a_private_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "new" / "secret.json"
    write_private_file(path, "first")
    path.chmod(0o644)
    write_private_file(path, json.dumps({"ñ": 1}, ensure_ascii=False))
    assert path.read_text(encoding="utf-8") == '{"ñ": 1}'
    assert mode(path) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["secret.json"]
