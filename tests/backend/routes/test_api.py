"""The JSON API for admins and scripts."""

import pytest
import sqlalchemy as sa

from backend.rounds import queue
from backend.rounds.window import Position
from backend.store.tables import Project, Work
from tests.backend.text_project import LABEL_CONFIG
from tests.backend.unreliable_labelstudio import PERSONAL_TOKEN, UnreliableLabelStudio

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


def test_what_label_studio_refuses_is_said(client, text_project, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", PERSONAL_TOKEN)
    with UnreliableLabelStudio(LABEL_CONFIG) as label_studio:
        text_project.update(label_studio_url=label_studio.url)
        label_studio.fail("PATCH", "/api/projects/7/", 403, {"detail": "No permission"})
        answer = client.post("/api/projects/7/pause")
    assert answer.status_code == 502
    assert "No permission" in answer.json()["error"]
    assert PERSONAL_TOKEN not in answer.text


def test_pausing_stops_the_stream_and_resuming_gives_it_back_as_it_was(
    client, text_project, monkeypatch
):
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", PERSONAL_TOKEN)
    with UnreliableLabelStudio(LABEL_CONFIG) as label_studio:
        text_project.update(label_studio_url=label_studio.url)
        assert client.post("/api/projects/7/pause").json() == {"state": "paused"}
        assert label_studio.project["maximum_annotations"] == 0
        assert client.post("/api/projects/7/pause").json() == {"state": "paused"}
        assert client.post("/api/projects/7/resume").json() == {"state": "active"}
        assert label_studio.project["maximum_annotations"] == 1


def test_a_pause_that_label_studio_refused_is_no_pause(client, text_project, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", PERSONAL_TOKEN)
    with UnreliableLabelStudio(LABEL_CONFIG) as label_studio:
        text_project.update(label_studio_url=label_studio.url)
        label_studio.fail("PATCH", "/api/projects/7/", 403)
        assert client.post("/api/projects/7/pause").status_code == 502
        assert text_project.row().state == "active"
        assert text_project.row().paused_overlap is None
        assert client.post("/api/projects/7/pause").json() == {"state": "paused"}
        assert label_studio.project["maximum_annotations"] == 0


def test_a_pause_cut_off_after_it_took_effect_can_be_taken_back(client, text_project, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", PERSONAL_TOKEN)
    with UnreliableLabelStudio(LABEL_CONFIG) as label_studio:
        # As a crash between the change there and its record here leaves it.
        text_project.update(label_studio_url=label_studio.url, paused_overlap=1)
        label_studio.project["maximum_annotations"] = 0
        assert client.post("/api/projects/7/resume").json() == {"state": "active"}
        assert label_studio.project["maximum_annotations"] == 1
        assert text_project.row().paused_overlap is None


def test_annotators_are_told_where_a_part_of_the_tasks_has_several(
    client, text_project, monkeypatch
):
    """Label Studio would draw anew which tasks get them."""
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", PERSONAL_TOKEN)
    with UnreliableLabelStudio(LABEL_CONFIG) as label_studio:
        label_studio.project.update(maximum_annotations=3, overlap_cohort_percentage=20)
        text_project.update(label_studio_url=label_studio.url)
        answer = client.post("/api/projects/7/pause")
        assert "stop labelling" in label_studio.project["expert_instruction"]
        assert answer.json()["state"] == "active"
        client.post("/api/projects/7/resume")
        assert not label_studio.project["expert_instruction"]


@pytest.mark.usefixtures("text_project")
def test_without_a_token_the_admin_is_told_how_to_give_one(client):
    answer = client.post("/api/projects/7/pause")
    assert answer.status_code == 409
    assert "asknext connect" in answer.json()["error"]


def test_a_labelling_config_with_several_answers_is_refused_by_the_field_that_chooses_one(
    client, text_project
):
    second = '<Choices name="mood" toName="content"><Choice value="calm"/></Choices></View>'
    text_project.update(label_config=LABEL_CONFIG.replace("</View>", second))
    answer = client.put("/api/projects/7/config", json={"encoder": "static"})
    assert answer.status_code == 422
    assert answer.json()["field"] == "control"
    assert "topic, mood" in answer.json()["error"]
