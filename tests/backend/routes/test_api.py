"""The JSON API for admins and scripts."""

import pytest
import sqlalchemy as sa

from backend.rounds import queue
from backend.rounds.window import Position
from backend.store.tables import Project, Work

PATHS = [
    ("GET", "/api/projects/99"),
    ("GET", "/api/projects/99/queue"),
    ("POST", "/api/projects/99/rank"),
    ("POST", "/api/projects/99/pause"),
    ("POST", "/api/projects/99/resume"),
    ("GET", "/api/projects/99/config"),
    ("PUT", "/api/projects/99/config"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_a_project_that_is_not_connected_answers_404_with_the_mend(client, method, path):
    answer = client.request(method, path, json={})
    assert answer.status_code == 404
    assert answer.json()["field"] == "project"
    assert "asknext connect --project 99" in answer.json()["mend"]


def test_a_number_that_no_project_can_have_is_not_found_either(client):
    assert client.get(f"/api/projects/{10**30}").status_code == 404


def test_the_list_holds_every_project_with_its_labels(client, text_project):
    assert client.get("/api/projects").json()["projects"][0]["labelled"] == 0
    text_project.annotate_truly([1, 2, 3])
    (project,) = client.get("/api/projects").json()["projects"]
    assert (project["id"], project["title"], project["labelled"]) == (7, "Topics", 3)
    assert client.get("/api/projects/7").json() == project


@pytest.mark.usefixtures("text_project")
def test_no_secret_is_in_any_answer(client):
    text = client.get("/api/projects").text + client.get("/api/projects/7/config").text
    assert "secret" not in text
    assert "password" not in text.lower()


def test_the_queue_is_told_in_the_order_in_which_it_is_served(client, text_project, database):
    positions = [
        Position(5, "strategy", 9, "margin", 0.75),
        Position(6, "test", 3, "test"),
        Position(8, "random", 4, "random", None, 0.02),
    ]
    with database.write() as session:
        project = session.get_one(Project, text_project.id)
        queue.stage(session, project, "v1", 1, list(enumerate(positions)))
        queue.put_in_force(database, session, project, "v1")
    told = client.get("/api/projects/7/queue").json()
    assert told["version"] == "v1"
    assert [(p["task"], p["family"], p["blind"]) for p in told["positions"]] == [
        (9, "strategy", False),
        (3, "test", True),
        (4, "random", True),
    ]
    assert told["positions"][0]["score"] == 0.75
    assert told["positions"][2]["probability"] == 0.02


@pytest.mark.usefixtures("text_project")
def test_a_round_can_be_asked_for(client, database):
    assert client.post("/api/projects/7/rank").status_code == 202
    with database.read() as session:
        assert session.scalar(sa.select(Work.requested).where(Work.kind == "round")) == 1


@pytest.mark.usefixtures("text_project")
def test_the_configuration_is_read_with_its_defaults(client):
    config = client.get("/api/projects/7/config").json()
    assert (config["encoder"], config["window"]) == ("static", 100)


def test_a_wrong_configuration_is_refused_by_field_and_the_old_one_stays(client, text_project):
    before = text_project.row().config
    answer = client.put("/api/projects/7/config", json={"strategy": {"chain": ["margni"]}})
    assert answer.status_code == 422
    assert answer.json()["field"] == "strategy.chain[0]"
    assert "margni" in answer.json()["error"]
    assert "stays in force" in answer.json()["mend"]
    assert client.get("/api/projects/7/config").json() == before


@pytest.mark.usefixtures("text_project")
def test_a_label_studio_that_is_away_is_said_to_be_so(client, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", "token")
    monkeypatch.setattr("backend.routes.api.LabelStudio", impatient())
    answer = client.post("/api/projects/7/pause")
    assert answer.status_code == 502
    assert "did not answer" in answer.json()["error"]


def impatient():
    from backend.labelstudio import LabelStudio

    return lambda url, token, **_: LabelStudio(url, token, patience=0.0)


@pytest.mark.usefixtures("text_project")
def test_without_a_token_the_admin_is_told_how_to_give_one(client):
    answer = client.post("/api/projects/7/pause")
    assert answer.status_code == 409
    assert "asknext connect" in answer.json()["error"]
