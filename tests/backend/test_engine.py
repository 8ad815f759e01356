"""The embedded queue engine is a real server in the data folder, whatever the folder's path."""

import os
import signal

import pytest

from backend import engine
from backend.errors import EngineUnavailableError
from backend.settings import Settings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    return Settings.load(data_dir=tmp_path / "data")


@pytest.fixture
def started(settings):
    process = engine.start(settings)
    yield process
    process.kill()
    process.wait()


def test_it_answers_on_a_socket_that_only_its_owner_can_use(settings, started):
    assert engine.answers(settings)
    socket = engine.engine_socket_path(settings.engine_socket)
    assert socket.stat().st_mode & 0o077 == 0
    assert started.poll() is None


def test_without_a_server_it_does_not_answer(settings):
    assert not engine.answers(settings)


def test_what_was_stored_survives_a_kill(settings):
    process = engine.start(settings)
    connection = engine.connect(settings)
    connection.set("kept", "yes")
    connection.execute_command("WAITAOF", 1, 0, 5000)  # once a second it reaches the disk
    connection.close()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = engine.start(settings)
    try:
        connection = engine.connect(settings)
        assert connection.get("kept") == b"yes"
        connection.close()
    finally:
        again.kill()
        again.wait()


def test_a_data_folder_deep_in_a_tree_works_too(tmp_path, monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    settings = Settings.load(data_dir=tmp_path / ("deep" * 20) / ("deeper" * 15))
    process = engine.start(settings)
    try:
        assert engine.answers(settings)
        assert not settings.engine_socket.exists()
    finally:
        process.kill()
        process.wait()
        engine.engine_socket_path(settings.engine_socket).unlink(missing_ok=True)


def test_a_server_that_cannot_start_says_why(settings):
    folder = settings.engine_socket.parent / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("not a manifest\n")
    with pytest.raises(EngineUnavailableError, match=r"valkey\.log"):
        engine.start(settings)


def test_redis_url_comes_before_the_embedded_one(tmp_path):
    settings = Settings.load(data_dir=tmp_path, redis_url="redis://queue.example:6379/3")
    assert settings.engine_url == "redis://queue.example:6379/3"


def test_an_empty_redis_url_means_the_embedded_one(tmp_path, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "")
    assert Settings.load(data_dir=tmp_path).engine_url.startswith("unix://")
