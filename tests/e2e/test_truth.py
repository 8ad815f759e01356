"""Label Studio is the only truth: whatever happened there is found again, however it was missed."""

import time

CONFIG = {"retrain_every": 1000}


def test_events_lost_while_the_server_was_down_are_found_again(connect, asknext):
    driven = connect(tasks=60, config=CONFIG)
    asknext.stop()
    served = list(driven.session.tasks(driven.number))[:7]
    for task in served:
        driven.label(task["id"], driven.truth[task["data"]["text"]])
    asknext.start()
    asknext.wait_until_ready()
    state = driven.wait(lambda s: s["labelled"] == 7)
    assert state["last_error"] is None


def test_a_forged_webhook_teaches_nothing(connect):
    driven = connect(tasks=40, config=CONFIG)
    task = driven.queue()[0]["task"]
    driven.api.post(
        "/webhook",
        json={
            "action": "ANNOTATION_CREATED",
            "project": {"id": driven.number},
            "task": {"id": task},
            "annotation": {
                "id": 999999,
                "task": task,
                "result": [{"from_name": "topic", "value": {"choices": ["sport"]}}],
            },
        },
    ).raise_for_status()
    state = driven.settle()
    assert state["labelled"] == 0
    assert driven.serve()["id"] == task


def test_edited_skipped_and_deleted_annotations_are_picked_up(connect):
    driven = connect(tasks=40, config=CONFIG)
    tasks = [p["task"] for p in driven.queue()[:3]]
    annotations = [driven.label(task, "sport") for task in tasks]
    assert driven.sync()["labelled"] == 3
    driven.session.request("DELETE", f"/api/annotations/{annotations[0]}/")
    driven.session.request("PATCH", f"/api/annotations/{annotations[1]}/", {"was_cancelled": True})
    driven.session.request(
        "PATCH",
        f"/api/annotations/{annotations[2]}/",
        {
            "result": [
                {
                    "from_name": "topic",
                    "to_name": "text",
                    "type": "choices",
                    "value": {"choices": ["technology"]},
                }
            ]
        },
    )
    driven.sync()
    state = driven.wait(lambda s: s["labelled"] == 1)
    assert state["skipped"] == 1


def test_two_annotators_who_disagree_leave_a_task_unsettled_until_a_third(connect, second_session):
    driven = connect(tasks=40, config=CONFIG)
    task = driven.queue()[0]["task"]
    driven.label(task, "sport")
    driven.label(task, "technology", second_session)
    state = driven.sync()
    assert (state["labelled"], state["unsettled"]) == (0, 1)
    driven.session.request(
        "DELETE",
        f"/api/annotations/{driven.session.annotations(task)[-1]['id']}/",
    )
    state = driven.sync()
    assert (state["labelled"], state["unsettled"]) == (1, 0)


def test_new_and_deleted_tasks_are_picked_up_and_never_served_from_a_stale_queue(connect):
    driven = connect(tasks=40, config=CONFIG)
    first = driven.queue()[0]["task"]
    driven.session.request("DELETE", f"/api/tasks/{first}/")
    driven.session.import_tasks(driven.number, [{"text": "A new story about football."}])
    state = driven.sync()
    assert state["pool"] == 40
    assert first not in [p["task"] for p in driven.queue()]
    driven.rank()
    assert driven.serve()["id"] == driven.queue()[0]["task"]
    # What is frozen stays as it was drawn: the new task may be a member, but beside it.
    frozen = driven.api.get(f"/api/projects/{driven.number}/holdout").json()["members"]
    assert len(frozen) == 18


def test_a_changed_labelling_config_keeps_the_labels_of_kept_classes(connect):
    driven = connect(tasks=60, config=CONFIG)
    tasks = [p["task"] for p in driven.queue()[:4]]
    for task, choice in zip(tasks, ["sport", "sport", "technology", "business"], strict=True):
        driven.label(task, choice)
    driven.sync()
    config = driven.session.project(driven.number)["label_config"]
    changed = config.replace('<Choice value="politics"/>', '<Choice value="science"/>')
    assert changed != config
    driven.session.request("PATCH", f"/api/projects/{driven.number}/", {"label_config": changed})
    state = driven.sync()
    assert state["labelled"] == 4
    driven.rank()
    assert any("label schema 2" in e["message"] for e in driven.state()["events"])


def test_changed_sampling_and_version_are_set_back_and_said(connect):
    driven = connect(tasks=40, config=CONFIG)
    version = driven.state()["queue_version"]
    driven.session.request(
        "PATCH",
        f"/api/projects/{driven.number}/",
        {"sampling": "Sequential sampling"},
    )
    driven.sync()
    project = driven.session.project(driven.number)
    assert project["sampling"] == "Uncertainty sampling"
    assert project["model_version"] == version
    assert any("set it back" in event["message"] for event in driven.state()["events"])


def test_a_deleted_project_is_archived_once_and_left_alone(connect):
    driven = connect(tasks=40, config=CONFIG)
    driven.session.request("DELETE", f"/api/projects/{driven.number}/")
    driven.api.post(
        "/webhook", json={"action": "PROJECT_DELETED", "project": {"id": driven.number}}
    )
    driven.wait(lambda s: s["state"] == "archived")
    time.sleep(1)
    state = driven.settle()
    assert sum("no longer has this project" in e["message"] for e in state["events"]) == 1


def test_the_webhook_carries_credentials_and_an_annotation_is_seen_within_seconds(connect):
    driven = connect(tasks=40, config=CONFIG)
    driven.label_next()
    driven.wait(lambda s: s["labelled"] == 1, seconds=15)
