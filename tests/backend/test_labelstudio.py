"""The client of Label Studio: whose 404 means what, and whose token sees which address."""

import pytest

from backend.errors import (
    LabelStudioRefusedError,
    LabelStudioUnreachableError,
    ProjectGoneError,
)
from backend.labelstudio import LabelStudio
from tests.backend.text_project import LABEL_CONFIG
from tests.backend.unreliable_labelstudio import PERSONAL_TOKEN, UnreliableLabelStudio

PROJECT = "/api/projects/7/"


@pytest.fixture
def server():
    with UnreliableLabelStudio(LABEL_CONFIG) as running:
        yield running


@pytest.fixture
def client(server):
    with LabelStudio(server.url, PERSONAL_TOKEN, patience=0.0) as opened:
        yield opened


def test_label_studios_own_404_means_that_the_project_is_gone(server, client):
    server.gone = True
    with pytest.raises(ProjectGoneError):
        client.project(7)


@pytest.mark.parametrize("body", [{"detail": "no route"}, {"status_code": 502}])
def test_a_404_of_something_in_between_archives_nothing(server, client, body):
    server.fail("GET", PROJECT, 404, body=body)
    with pytest.raises(LabelStudioRefusedError) as refused:
        client.project(7)
    assert not isinstance(refused.value, ProjectGoneError)
    assert client.project(7)


def test_an_error_of_the_server_is_not_said_to_be_the_tokens(server, client):
    server.fail("POST", "/api/token/refresh/", 500)
    with pytest.raises(LabelStudioUnreachableError):
        client.project(7)
    assert client.project(7)


def test_a_refused_token_is_said_to_be_so_and_is_not_shown(server):
    with (
        LabelStudio(server.url, "a.wrong.token", patience=0.0) as client,
        pytest.raises(LabelStudioRefusedError, match="new personal access token") as refused,
    ):
        client.project(7)
    assert "a.wrong.token" not in str(refused.value)
