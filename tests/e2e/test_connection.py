"""Connecting, configuring, pausing and disconnecting a project in a real Label Studio."""

import pytest

from demo.labelstudio_session import LabelStudioAnswerError
from demo.processes import DemoError


def backend_of(driven):
    (backend,) = driven.session.request("GET", f"/api/ml?project={driven.number}")
    return backend


def set_extra_params(driven, document):
    backend = backend_of(driven)
    return driven.session.request(
        "PATCH",
        f"/api/ml/{backend['id']}",
        {
            "url": backend["url"],
            "project": driven.number,
            "extra_params": document,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": driven.asknext.credentials()[0],
            "basic_auth_pass": driven.asknext.credentials()[1],
        },
    )


def test_connecting_twice_changes_nothing(connect, asknext, label_studio):
    driven = connect(tasks=40)
    before = driven.state()
    asknext.connect(label_studio.url, driven.session.token, driven.number)
    after = driven.settle()
    assert after["queue_version"] == before["queue_version"]
    assert after["config"] == before["config"]
    assert len(driven.session.request("GET", f"/api/ml?project={driven.number}")) == 1
    assert len(driven.session.request("GET", f"/api/webhooks/?project={driven.number}")) == 1
    views = driven.session.request("GET", f"/api/dm/views/?project={driven.number}")
    assert [v["data"]["title"] for v in views].count("AskNext queue") == 1


def test_a_wrong_token_is_refused_with_what_to_do(label_studio, asknext, make_project):
    number, _ = make_project(tasks=4)
    with pytest.raises(DemoError, match="personal access token"):
        asknext.connect(label_studio.url, "a.wrong.token", number)


def test_extra_params_typed_into_label_studio_configure_the_queue(connect):
    driven = connect(tasks=40)
    set_extra_params(driven, {"strategy": "entropy", "retrain_every": 7, "encoder": "static"})
    state = driven.wait(lambda s: s["config"]["strategy"] == "entropy")
    assert state["config"]["retrain_every"] == 7


def test_wrong_extra_params_are_refused_where_the_admin_sees_it_and_the_old_stay(connect):
    driven = connect(tasks=40)
    before = driven.state()["config"]
    with pytest.raises(LabelStudioAnswerError) as refused:
        set_extra_params(driven, {"strategy": "margni", "encoder": "static"})
    assert "refused" in str(refused.value)
    assert "margin" in str(refused.value)
    state = driven.state()
    assert state["config"] == before
    assert "margni" in state["config_refusal"]
    assert backend_of(driven)["state"] in ("CO", "ER")


def test_pausing_stops_the_stream_and_resuming_serves_the_same_queue(connect):
    driven = connect(tasks=40)
    window = [p["task"] for p in driven.queue()]
    driven.api.post(f"/api/projects/{driven.number}/pause").raise_for_status()
    assert driven.session.next_task(driven.number) is None
    assert driven.state()["state"] == "paused"
    assert "It was paused by hand." in " ".join(driven.state()["warnings"])
    driven.sync()
    assert driven.session.next_task(driven.number) is None
    driven.api.post(f"/api/projects/{driven.number}/resume").raise_for_status()
    assert driven.serve()["id"] == window[0]
    assert driven.session.project(driven.number)["maximum_annotations"] == 1


def test_disconnecting_restores_what_connecting_changed(connect, run_asknext):
    driven = connect(tasks=40)
    driven.api.post(f"/api/projects/{driven.number}/pause").raise_for_status()
    run_asknext("disconnect", "--project", str(driven.number))
    project = driven.session.project(driven.number)
    assert project["maximum_annotations"] == 1
    assert project["sampling"] == "Sequential sampling"
    assert project["show_collab_predictions"] is True
    assert not str(project["model_version"] or "").startswith("asknext-")
    assert driven.session.request("GET", f"/api/ml?project={driven.number}") == []
    assert driven.session.request("GET", f"/api/webhooks/?project={driven.number}") == []
    views = driven.session.request("GET", f"/api/dm/views/?project={driven.number}")
    assert "AskNext queue" not in [v["data"]["title"] for v in views]
    assert driven.state()["state"] == "disconnected"
