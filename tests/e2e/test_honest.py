"""Honest evaluation on a real Label Studio: what is held out, what it costs, and when it ends."""

import json

from tests.e2e.test_by_hand import open_tab, sites, tasks_by


def patients(place):
    """Slices of one patient have their texts apart, and their patient in common."""
    return {"patient": f"p{place // 3}"}


def test_a_project_measures_itself_and_never_trains_on_what_it_is_tested_with(
    connect, run_asknext, tmp_path
):
    config = {
        "retrain_every": 12,
        "window": 20,
        "group_by": "patient",
        "test_size": 15,
        "validation_size": 9,
        "budget": 150,
        "random_share": 0.25,
        "evaluation_cap": 0.6,
    }
    driven = connect(tasks=150, config=config, fields=patients)
    held = driven.api.get(f"/api/projects/{driven.number}/holdout").json()
    test = {member["task"] for member in held["members"] if member["role"] == "test"}
    patient = {t["id"]: t["data"]["patient"] for t in driven.session.tasks(driven.number)}
    of_test = {patient[task] for task in test}
    assert all((patient[task] in of_test) == (task in test) for task in patient)

    driven.label_many(48)
    driven.settle()
    driven.rank()
    state = driven.state()
    while state["rounds"][-1]["metrics"]["control"]["all"]["groups"] < 2:  # chance may be slow
        driven.label_many(6)
        driven.settle()
        driven.rank()
        state = driven.state()
    last = state["rounds"][-1]["metrics"]
    assert last["test"]["sealed"]
    assert last["test"].keys() == {"labelled", "sealed", "skips", "beyond_prefix"}
    assert last["validation"]["labelled"] > 0
    assert last["control"]["all"]["items"] > 0
    assert last["control"]["all"]["low"] < last["control"]["all"]["high"]
    assert state["holdout"]["digest"] == held["digest"]
    assert state["holdout"]["intact"]
    assert 0 < state["ledger"]["labels"] < state["labelled"]
    # Random control labels come from the control, in order of their numbers, and are in no round's
    # window as the strategy's.
    assert all(p["probability"] for p in driven.queue() if p["family"] == "random")

    opened = driven.api.post(f"/api/projects/{driven.number}/holdout/open").json()
    assert opened["rounds"][-1]["test"]["labelled"] > 0
    assert opened["looks"] == 1
    printed = run_asknext("status", "--project", str(driven.number))
    assert held["digest"][:12] in printed

    out = tmp_path / "labels.jsonl"
    run_asknext("export", "--project", str(driven.number), "--out", str(out))
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert sorted(row["task"] for row in rows) == sorted(driven.labelled())
    assert {row["task"] for row in rows if row["split"] == "test"} <= test
    assert {row["manifest"] for row in rows} == {held["digest"]}
    assert {"test", "validation", "control", "train"} <= {row["split"] for row in rows}
    texts = {t["id"]: t["data"]["text"] for t in driven.session.tasks(driven.number)}
    assert all(row["data"]["text"] == texts[row["task"]] for row in rows)


def test_the_stream_stops_when_the_budget_is_spent_and_goes_on_when_it_grows(connect):
    config = {"budget": 10, "retrain_every": 1000, "window": 12}
    driven = connect(tasks=60, config=config)
    driven.label_many(10)
    state = driven.wait(lambda s: s["state"] == "paused")
    assert state["pause_reason"] == "The budget is spent."
    assert any("Raise `budget`" in warning for warning in state["warnings"])
    assert driven.session.next_task(driven.number) is None
    changed = {**state["config"], "budget": 20}
    driven.api.put(f"/api/projects/{driven.number}/config", json=changed).raise_for_status()
    driven.wait(lambda s: s["state"] == "active")
    assert driven.serve()["id"] == driven.queue()[0]["task"]


def test_a_skipped_random_task_is_asked_of_another_annotator(connect, second_session):
    config = {"random_share": 0.5, "evaluation_cap": 0.8, "holdout_rate": 0.0, "window": 12}
    driven = connect(tasks=60, config={**config, "retrain_every": 1000})
    driven.wait(lambda s: s["queue"]["random"] > 0)
    random = next(p["task"] for p in driven.queue() if p["family"] == "random")
    while (task := driven.serve())["id"] != random:
        driven.label_next()
    driven.session.request(
        "POST", f"/api/tasks/{random}/annotations/", {"result": [], "was_cancelled": True}
    )
    state = driven.sync()
    assert state["skipped"] == 1
    assert random in {p["task"] for p in driven.queue()}
    assert driven.serve()["id"] != random
    assert driven.serve(second_session)["id"] == random
    assert task["id"] == random


def test_the_test_set_is_labelled_by_two_people_and_a_tie_goes_to_a_third(
    connect, second_session, third_session
):
    config = {"test_size": 8, "validation_size": 0, "evaluation_cap": 0.9, "window": 20}
    driven = connect(tasks=60, config={**config, "budget": 60, "retrain_every": 1000})
    held = driven.api.get(f"/api/projects/{driven.number}/holdout").json()
    test = {member["task"] for member in held["members"] if member["role"] == "test"}
    labelled = driven.label_many(12)
    driven.label_next(second_session)  # there is somebody else now
    asked = next(task for task in labelled if task in test)
    driven.rank()
    window = [p["task"] for p in driven.queue()]
    # The second annotator meets tasks of the test set first, then the queue in its order.
    task = driven.serve(second_session)
    assert task["id"] in test & set(labelled)
    assert driven.serve()["id"] == window[0]
    wrong = next(name for name in set(driven.truth.values())
                 if name != driven.truth[task["data"]["text"]])  # fmt: skip
    driven.label(task["id"], wrong, second_session)
    while (more := driven.serve(second_session))["id"] in labelled:
        driven.label(more["id"], driven.truth[more["data"]["text"]], second_session)
    assert more["id"] in window[:2]  # the first annotator holds the first one
    state = driven.sync()
    assert state["unsettled"] == 1
    driven.label_next(third_session)
    driven.rank()
    third = driven.serve(third_session)
    assert third["id"] == task["id"]
    driven.label(third["id"], driven.truth[third["data"]["text"]], third_session)
    state = driven.rank()
    assert state["unsettled"] == 0
    people = state["rounds"][-1]["metrics"]["people"]
    assert people["answered"] >= 1
    assert people["agreement"]["items"] == people["answered"]
    assert people["agreement"]["observed"] < 1
    assert asked in labelled


def test_a_project_with_two_annotations_a_task_stops_and_comes_back_as_it_was(connect):
    config = {"budget": 10, "retrain_every": 1000, "window": 12}
    driven = connect(tasks=30, config=config)
    path = f"/api/projects/{driven.number}/"
    driven.session.request("PATCH", path, {"maximum_annotations": 2})

    def overlaps():
        ids = [task["id"] for task in driven.session.tasks(driven.number)]
        tasks = [driven.session.request("GET", f"/api/tasks/{number}/") for number in ids]
        return {t["id"]: (t["overlap"], t["is_labeled"]) for t in tasks}

    driven.label_many(9)
    before = overlaps()
    driven.label_next()
    driven.wait(lambda s: s["state"] == "paused")
    assert driven.session.next_task(driven.number) is None
    changed = {**driven.state()["config"], "budget": 20}
    driven.api.put(f"/api/projects/{driven.number}/config", json=changed).raise_for_status()
    driven.wait(lambda s: s["state"] == "active")
    assert overlaps() == before
    assert {overlap for overlap, _ in before.values()} == {2}


def test_a_tab_names_where_the_model_will_be_used(connect):
    config = {"window": 20, "reference": {"tab": "Production"}, "retrain_every": 1000}
    driven = connect(tasks=90, config=config, fields=sites)
    driven.label_many(12)
    driven.rank()
    said = driven.state()["rounds"][-1]["metrics"]["reference"]
    assert "no Data Manager tab 'Production'" in said["warning"]
    open_tab(driven, "Production", "data.site", "south")
    driven.rank()
    found = driven.state()["rounds"][-1]["metrics"]["reference"]
    assert found["title"] == "tab Production"
    assert found["size"] == len(tasks_by(driven, "site", "south")) == 30
    assert found["sets"]["pool"]["tasks"] == 90
    assert all(part["text"] for part in found["sets"].values())
    # A few tasks are worth too little for a figure that claims to hold there.
    assert found["reweighted"]["validation"]["low"] is None
    assert found["reweighted"]["validation"]["text"]
