"""The endpoints that Label Studio calls on an ML backend, as it calls them."""

import json
import threading
from urllib.parse import unquote

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from label_studio_sdk.label_interface.interface import LabelInterface

from backend.app import create_app
from backend.config_history import submit
from backend.settings import Settings
from backend.store.projects import installation_name, model_version
from backend.store.tables import Annotation, Label, Project, Task, Work
from tests.backend.conftest import PASSWORD, USER
from tests.backend.text_project import (
    CLASSES,
    LABEL_CONFIG,
    TASK_IDS,
    label_config,
    text_of,
    topic_of,
)


def version(database, number):
    return model_version(installation_name(database), number)


def set_up(client, extra_params=None, **changes):
    body = {
        "project": "7.1732430000",
        "schema": LABEL_CONFIG,
        "hostname": "http://a.stranger.example",
        "access_token": "worth nothing",
        "extra_params": extra_params,
    }
    return client.post("/setup", json={**body, **changes})


def predict(client, task_ids=(), texts=(), **changes):
    tasks = [{"id": task_id, "data": {"text": text_of(task_id)}} for task_id in task_ids]
    tasks += [{"id": 10_000 + n, "data": {"text": text}} for n, text in enumerate(texts)]
    body = {
        "tasks": tasks,
        "project": "7.1732430000",
        "label_config": LABEL_CONFIG,
        "params": {"login": None, "password": None, "context": None},
    }
    return client.post("/predict", json={**body, **changes})


def requested(client, database, kind):
    client.app.state.asknext.pusher.write_nudges()
    with database.read() as session:
        return session.scalar(sa.select(sa.func.sum(Work.requested)).where(Work.kind == kind)) or 0


# ------------------------------------------------------------------ health, versions and the rest


@pytest.mark.parametrize("path", ["/health", "/"])
def test_health_says_that_asknext_is_up(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["status"]) == (200, "UP")
    assert answer.json()["model_class"] == "AskNext"


@pytest.mark.usefixtures("trained")
def test_versions_names_the_live_model(client, database):
    assert client.get("/versions", params={"project": "7.123"}).json() == {
        "versions": [version(database, 1)]
    }
    in_the_body = client.request("GET", "/versions", json={"project": "7.123"})
    assert in_the_body.json() == {"versions": [version(database, 1)]}


@pytest.mark.usefixtures("trained")
def test_versions_without_a_project_as_label_studio_asks_names_the_live_models(client, database):
    assert client.get("/versions").json() == {"versions": [version(database, 1)]}


@pytest.mark.parametrize("project", [None, "99", "x", "²", "9" * 30])
def test_versions_of_a_project_that_is_not_ours_is_that_of_no_model(client, database, project):
    answer = client.get("/versions", params={} if project is None else {"project": project})
    assert answer.json() == {"versions": [version(database, 0)]}


def test_validate_says_what_would_be_learnt(client):
    answer = client.post("/validate", json={"config": LABEL_CONFIG})
    assert answer.status_code == 200
    assert answer.json()["control"] == "topic"
    assert tuple(answer.json()["classes"]) == CLASSES


@pytest.mark.parametrize("config", [None, 3, "<View>", "<View><Text name='t' value='$t'/></View>"])
def test_validate_refuses_what_cannot_be_learnt_and_says_how_to_mend_it(client, config):
    answer = client.post("/validate", json={"config": config})
    assert 400 <= answer.status_code < 500
    assert answer.json()["field"] == "config"
    assert answer.json()["mend"]


def test_a_job_that_we_do_not_know_is_unknown(client):
    answer = client.post("/job_status", json={"job": "17"})
    assert (answer.status_code, answer.json()["job_status"]) == (200, "unknown")


def test_removing_the_backend_in_label_studio_deletes_no_record(client, text_project, database):
    text_project.annotate_truly([1, 2])
    assert client.post("/delete", json={"project": "7.1"}).status_code == 200
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Label)) == 2
    assert requested(client, database, "sync") == 1  # to find out what really happened


@pytest.mark.usefixtures("trained")
def test_a_duplicated_project_starts_without_a_model(client, database):
    body = {"project_src": "7.1", "project_dst": "8.1"}
    assert client.post("/duplicate_model", json=body).status_code == 200
    assert client.get("/versions", params={"project": "8"}).json()["versions"] == [
        version(database, 0)
    ]
    answer = client.post("/duplicate_model", json={"project_src": "7.1"})
    assert (answer.status_code, answer.json()["field"]) == (422, "project_dst")


# ------------------------------------------------------------------ setup


@pytest.mark.usefixtures("trained")
def test_setup_answers_the_live_models_version(client, database):
    assert set_up(client).json() == {"model_version": version(database, 1)}


def test_setup_of_a_project_that_is_not_connected_yet_works_and_stores_nothing(client, database):
    answer = set_up(client, {"strategy": "entropy"})
    assert (answer.status_code, answer.json()) == (200, {"model_version": version(database, 0)})
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Project)) == 0


def test_before_the_connection_extra_params_may_name_the_control(client):
    both = LABEL_CONFIG.replace(
        "</View>",
        '<Choices name="tone" toName="content"><Choice value="calm"/><Choice value="loud"/>'
        "</Choices></View>",
    )
    assert set_up(client, {"control": "tone"}, schema=both).status_code == 200
    assert set_up(client, {}, schema=both).status_code == 303


def test_setup_never_trusts_the_address_that_it_is_told(client, text_project):
    set_up(client)
    assert text_project.row().label_studio_url == "http://127.0.0.1:9"


def test_valid_extra_params_come_into_force(client, text_project):
    assert set_up(client, {"strategy": "entropy", "encoder": "static"}).status_code == 200
    assert text_project.row().config["strategy"] == "entropy"


def test_a_setup_without_extra_params_changes_nothing(client, text_project):
    submit(text_project.database, text_project.id, "api", {"seed": 4, "encoder": "static"})
    assert set_up(client, None).status_code == 200
    assert text_project.row().config["seed"] == 4


INVALID = {
    "an unknown strategy": ({"strategy": {"chain": ["margin", "margni"]}}, "strategy.chain[1]"),
    "an unknown setting": ({"batchsize": 3}, "batchsize"),
    "a value out of range": ({"random_share": 2}, "random_share"),
    "no object": ([1, 2], "must be a JSON object"),
    "an unknown control": ({"control": "colour/shade?"}, "colour/shade?"),
    "an encoder of another kind": ({"encoder": "efficientnet-lite0"}, "does not read texts"),
}


@pytest.mark.parametrize(("extra_params", "told"), INVALID.values(), ids=INVALID)
def test_wrong_extra_params_are_refused_once_and_the_old_ones_stay_in_force(
    client, text_project, database, extra_params, told
):
    before = text_project.row().config
    refused = set_up(client, extra_params)
    assert refused.status_code == 303
    # Label Studio shows an admin the status and this address, nothing else.
    address = refused.headers["location"]
    assert address.startswith("/refused/")
    assert told.replace(" ", "-") in unquote(address)
    page = client.get(address)
    assert page.status_code == 422
    assert told.replace(" ", "-") in page.json()["error"]
    assert page.json()["mend"]
    # The same again must not disable the backend.
    for _ in range(3):
        again = set_up(client, extra_params)
        assert (again.status_code, again.json()) == (200, {"model_version": version(database, 0)})
    assert text_project.row().config == before
    status = client.get("/api/projects/7").json()
    assert told in status["config_refusal"]


@pytest.mark.usefixtures("text_project")
def test_a_client_that_follows_the_refusal_meets_422(client):
    client.follow_redirects = True
    assert set_up(client, {"batchsize": 3}).status_code == 422
    assert set_up(client, {"batchsize": 3}).status_code == 200


def test_a_second_mistake_is_refused_too_and_its_correction_clears_the_refusal(
    client, text_project
):
    assert set_up(client, {"batchsize": 3}).status_code == 303
    assert set_up(client, {"batchsize": 4}).status_code == 303
    assert set_up(client, {"batch_size": 4, "encoder": "static"}).status_code == 200
    assert text_project.row().config["batch_size"] == 4
    assert client.get("/api/projects/7").json()["config_refusal"] is None


def test_extra_params_of_a_disconnected_project_are_not_heard(client, text_project):
    text_project.update(state="disconnected")
    assert set_up(client, {"seed": 9, "encoder": "static"}).status_code == 200
    assert text_project.row().config["seed"] == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"project": None}, "project"),
        ({"project": "seven"}, "project"),
        ({"project": "²"}, "project"),
        ({"project": "9" * 30}, "project"),
        ({"schema": None}, "schema"),
        ({"schema": 3}, "schema"),
    ],
)
def test_a_wrong_setup_is_told_the_field_and_the_mend(client, changes, field):
    answer = set_up(client, **changes)
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert answer.json()["mend"]


# ------------------------------------------------------------------ predict


@pytest.mark.parametrize("count", [0, 1, 500])
@pytest.mark.usefixtures("trained")
def test_predict_gives_exactly_one_valid_result_a_task(client, count):
    known = [TASK_IDS[n % len(TASK_IDS)] for n in range(count * 4 // 5)]
    unknown = [f"A text that nobody has seen, number {n}." for n in range(count - len(known))]
    results = predict(client, known, unknown).json()["results"]
    assert len(results) == count
    interface = LabelInterface(LABEL_CONFIG)
    for result in results:
        assert interface.validate_prediction(result)
        assert len(result["result"]) == 1
        assert 1 / len(CLASSES) <= result["score"] <= 1


@pytest.mark.usefixtures("trained")
def test_results_come_in_the_order_of_the_tasks_and_know_their_topic(client, database):
    task_ids = [60, 31, 45, 33, 59]
    answer = predict(client, task_ids).json()
    chosen = [result["result"][0]["value"]["choices"][0] for result in answer["results"]]
    assert chosen == [topic_of(task_id) for task_id in task_ids]
    assert {result["model_version"] for result in answer["results"]} == {version(database, 1)}
    assert answer["model_version"] == version(database, 1)


@pytest.mark.usefixtures("text_project")
def test_before_a_model_nothing_is_predicted_and_label_studio_will_ask_again(client, database):
    answer = predict(client, [1, 2]).json()
    nothing = {"result": [], "score": None, "model_version": version(database, 0)}
    assert answer == {"results": [nothing, nothing], "model_version": version(database, 0)}
    assert LabelInterface(LABEL_CONFIG).validate_prediction(nothing)


def test_a_project_that_is_not_connected_gets_as_many_empty_results_as_tasks(client, database):
    results = predict(client, [1, 2, 3]).json()["results"]
    assert [(r["result"], r["score"], r["model_version"]) for r in results] == [
        ([], None, version(database, 0))
    ] * 3


def test_blind_tasks_show_nothing_until_they_are_labelled(client, text_project, database):
    text_project.hold_out(test=[40], validation=[41], control=[42])
    text_project.annotate_truly(range(1, 31))
    text_project.train_round(1)
    results = predict(client, [39, 40, 41, 42, 43]).json()["results"]
    assert [bool(result["result"]) for result in results] == [True, False, False, False, True]
    for result in results[1:4]:
        assert (result["score"], result["model_version"]) == (None, version(database, 0))
        assert "asknext" not in result  # the probabilities would tell as much
    text_project.annotate_truly([40, 42])
    results = predict(client, [40, 41, 42]).json()["results"]
    assert [bool(result["result"]) for result in results] == [True, False, True]


def test_a_skipped_or_unsettled_blind_task_stays_blind(client, text_project):
    text_project.hold_out(test=[40, 41])
    text_project.annotate_truly(range(1, 31))
    text_project.train_round(1)
    text_project.annotate(40, None, skipped=True)
    text_project.annotate(41, "weather", by=1)
    text_project.annotate(41, "cooking", by=2)
    assert [r["result"] for r in predict(client, [40, 41]).json()["results"]] == [[], []]


def test_unknown_content_is_embedded_once_and_known_from_then_on(trained, database):
    first = TestClient(create_app(trained.settings, database))
    first.auth = (USER, PASSWORD)
    told = predict(first, texts=["Thunder and hail over the coast."]).json()["results"]
    assert told[0]["result"][0]["value"]["choices"] == ["weather"]
    # A server without any time to embed can still answer it: the vector is on disk.
    hurried = Settings(
        data_dir=trained.settings.data_dir, user=USER, password=PASSWORD, predict_seconds=0.0
    )
    second = TestClient(create_app(hurried, database))
    second.auth = (USER, PASSWORD)
    assert predict(second, texts=["Thunder and hail over the coast."]).json()["results"] == told


def test_what_cannot_be_embedded_in_time_is_left_for_the_next_request(trained, database):
    hurried = Settings(
        data_dir=trained.settings.data_dir, user=USER, password=PASSWORD, predict_seconds=0.0
    )
    client = TestClient(create_app(hurried, database))
    client.auth = (USER, PASSWORD)
    results = predict(client, [31], ["Never seen.", "Nor this."]).json()["results"]
    assert [r["model_version"] for r in results] == [version(database, n) for n in (1, 0, 0)]
    assert [(r["result"], r["score"]) for r in results[1:]] == [([], None)] * 2


def test_setup_is_answered_while_many_predictions_wait_for_the_encoder(trained, database):
    app = create_app(trained.settings, database)
    with TestClient(app) as client:
        client.auth = (USER, PASSWORD)
        encoder_in_use = app.state.asknext.predictor._encoding
        encoder_in_use.acquire()
        waiting = [
            threading.Thread(target=predict, args=(client,), kwargs={"texts": [f"New text {n}."]})
            for n in range(12)
        ]
        for thread in waiting:
            thread.start()
        try:
            assert set_up(client).status_code == 200
            assert all(thread.is_alive() for thread in waiting)
        finally:
            encoder_in_use.release()
            for thread in waiting:
                thread.join()


def test_a_damaged_model_is_no_model(client, trained):
    (trained.context().model_dir(1) / "model.json").write_text("{")
    assert predict(client, [40]).json()["results"][0]["result"] == []


@pytest.mark.usefixtures("trained")
def test_a_task_without_the_field_has_an_empty_result_and_costs_the_others_nothing(client):
    tasks = [
        {"id": 1, "data": {}},
        {"id": 2, "data": {"text": None}},
        {"id": 3, "data": {"text": ""}},
        {"id": 4, "data": {"text": "Rain and fog over the mountains."}},
        {"data": {"text": "A task that is not stored anywhere, of snow and storm."}},
        {"id": 5, "data": {"text": {"rain": ["heavy", 3]}}},
        {"id": 6, "data": {"text": "half a sign \ud83d of rain"}},
    ]
    # As Label Studio writes its requests: pure ASCII, in which half a surrogate pair is possible.
    body = json.dumps({"tasks": tasks, "project": "7.1", "label_config": LABEL_CONFIG})
    answer = client.post("/predict", content=body)
    assert answer.status_code == 200
    assert [bool(r["result"]) for r in answer.json()["results"]] == [False] * 3 + [True] * 4


@pytest.mark.usefixtures("trained", "database")
def test_predictions_of_a_removed_class_are_not_shown(client):
    fewer = label_config(("cooking", "football"))
    results = predict(client, [31, 32, 33], label_config=fewer).json()["results"]
    assert topic_of(31) == "weather"
    assert [bool(result["result"]) for result in results] == [False, True, True]
    assert all(LabelInterface(fewer).validate_prediction(result) for result in results)


def test_a_new_round_is_answered_with_at_once(client, trained, database):
    predict(client, [40])
    trained.annotate_truly(range(31, 40))
    trained.train_round(2)
    assert predict(client, [40]).json()["model_version"] == version(database, 2)
    assert predict(client, [40]).json()["results"][0]["model_version"] == version(database, 2)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tasks": None}, "tasks"),
        ({"tasks": {"data": {}}}, "tasks"),
        ({"tasks": [{"data": {}}, {"id": 3}]}, "tasks[1].data"),
        ({"tasks": ["text"]}, "tasks[0].data"),
        ({"tasks": [{"id": "one", "data": {}}]}, "tasks[0].id"),
        ({"tasks": [{"id": True, "data": {}}]}, "tasks[0].id"),
        ({"project": None}, "project"),
        ({"project": "none"}, "project"),
        ({"project": "²"}, "project"),
        ({"project": 10**30}, "project"),
        ({"label_config": 3}, "label_config"),
        ({"label_config": "<View>"}, "label_config"),
        ({"label_config": "<View/>"}, "label_config"),
    ],
)
@pytest.mark.usefixtures("trained")
def test_a_wrong_predict_is_told_the_field_and_the_mend(client, changes, field):
    answer = predict(client, [31], **changes)
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert answer.json()["error"]
    assert answer.json()["mend"]


@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook", "/validate", "/job_status"])
@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'"text"'])
def test_a_body_that_is_no_json_object_is_answered_with_400(client, path, body):
    answer = client.post(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["field"] == "body"
    assert answer.json()["mend"]


# ------------------------------------------------------------------ webhook

NUDGING = [
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
    "TASKS_CREATED",
    "TASKS_DELETED",
    "PROJECT_UPDATED",
    "PROJECT_DELETED",
]


@pytest.mark.parametrize("action", NUDGING)
@pytest.mark.usefixtures("text_project")
def test_an_event_asks_for_a_sync_and_for_nothing_else(client, database, action):
    answer = client.post("/webhook", json={"action": action, "project": {"id": 7}})
    assert answer.status_code == 201
    assert (requested(client, database, "sync"), requested(client, database, "round")) == (1, 0)


@pytest.mark.parametrize("project", [{"id": 7}, 7, "7.1732430000"])
@pytest.mark.usefixtures("text_project")
def test_start_training_asks_for_a_round(client, database, project):
    assert (
        client.post("/webhook", json={"action": "START_TRAINING", "project": project}).status_code
        == 201
    )
    assert (requested(client, database, "sync"), requested(client, database, "round")) == (0, 1)


@pytest.mark.parametrize(
    "body",
    [
        {"action": "LABEL_LINK_CREATED", "project": {"id": 7}},
        {"action": "SOMETHING_OF_A_LATER_VERSION", "project": {"id": 7}},
        {"action": "ANNOTATION_CREATED"},
        {"action": "ANNOTATION_CREATED", "project": {"id": 99}},
        {"action": "ANNOTATION_CREATED", "project": {"id": True}},
        {"action": "ANNOTATION_CREATED", "project": "²"},
        {"action": "START_TRAINING", "project": 10**30},
        {"action": "START_TRAINING", "project": {"id": -1}},
        {"action": "START_TRAINING", "project": ["7"]},
    ],
)
@pytest.mark.usefixtures("text_project")
def test_what_concerns_nobody_is_answered_and_ignored(client, database, body):
    assert client.post("/webhook", json=body).status_code == 201
    assert (requested(client, database, "sync"), requested(client, database, "round")) == (0, 0)


@pytest.mark.parametrize("state", ["archived", "disconnected"])
def test_a_project_that_is_left_alone_stays_so(client, text_project, database, state):
    text_project.update(state=state)
    client.post("/webhook", json={"action": "START_TRAINING", "project": {"id": 7}})
    assert requested(client, database, "round") == 0


def test_a_webhook_without_an_action_is_told_so(client):
    answer = client.post("/webhook", json={"project": {"id": 7}})
    assert (answer.status_code, answer.json()["field"]) == (422, "action")


def test_a_forged_event_teaches_nothing(client, text_project, database):
    text_project.annotate_truly([1])
    before = contents(database)
    forged = {
        "action": "ANNOTATION_CREATED",
        "annotation": {
            "id": 999,
            "task": 2,
            "completed_by": 1,
            "was_cancelled": False,
            "result": [{"from_name": "topic", "value": {"choices": ["cooking"]}}],
        },
        "task": {"id": 2, "data": {"text": "forged"}},
        "project": {"id": 7, "title": "forged", "label_config": label_config(("x", "y"))},
    }
    for _ in range(25):
        assert client.post("/webhook", json=forged).status_code == 201
    assert contents(database) == before
    assert 1 <= requested(client, database, "sync") <= 25  # all that it does


def contents(database):
    """All that is known of the project, its labels, tasks and annotations."""
    with database.read() as session:
        return [
            [tuple(row) for row in session.execute(sa.select(*table.__table__.columns))]
            for table in (Project, Task, Annotation, Label)
        ]
