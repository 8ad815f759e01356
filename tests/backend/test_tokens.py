"""The Label Studio token: from the environment, or a private file; never in the state."""

import stat

import pytest

from backend.errors import AskNextError
from backend.tokens import load_token, save_token

URL = "http://label-studio.example:8080"


def test_a_saved_token_is_found_again_with_or_without_a_slash(settings):
    save_token(settings, URL + "/", "token-one")
    assert load_token(settings, URL) == load_token(settings, URL + "/") == "token-one"


def test_each_server_has_its_own_token_and_the_newest_counts(settings):
    save_token(settings, URL, "old")
    save_token(settings, "http://other.example", "other")
    save_token(settings, URL, "new")
    assert load_token(settings, URL) == "new"
    assert load_token(settings, "http://other.example") == "other"


def test_the_environment_comes_before_the_file(settings, monkeypatch):
    save_token(settings, URL, "from the file")
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", "from the environment")
    assert load_token(settings, URL) == "from the environment"


def test_only_the_owner_can_read_the_file_and_the_state_never_holds_it(settings, database):
    save_token(settings, URL, "a-very-secret-token")
    database.dispose()
    holders = [
        path
        for path in settings.data_dir.rglob("*")
        if path.is_file() and b"a-very-secret-token" in path.read_bytes()
    ]
    assert [path.suffix for path in holders] == [".json"]
    assert stat.S_IMODE(holders[0].stat().st_mode) == 0o600


def test_without_a_token_the_admin_is_told_both_ways_to_give_one(settings):
    with pytest.raises(AskNextError, match=r"LABEL_STUDIO_TOKEN.*asknext connect"):
        load_token(settings, URL)


def test_a_damaged_file_is_said_to_be_so_without_showing_it(settings):
    save_token(settings, URL, "secret-part")
    (file,) = settings.data_dir.glob("*.json")
    file.write_text('{"secret-part')
    with pytest.raises(AskNextError, match="delete it") as refused:
        load_token(settings, URL)
    assert "secret-part" not in str(refused.value)
