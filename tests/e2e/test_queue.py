"""The queue as annotators meet it: Label Studio's own label stream serves AskNext's window."""

import threading
import time


def stored_prediction(driven, task, version):
    """The prediction of `version` that Label Studio holds for a task."""
    answer = driven.session.request("GET", f"/api/tasks/{task}/")
    (found,) = [p for p in answer["predictions"] if p["model_version"] == version]
    return found


def test_the_queue_serves_from_the_start_before_any_model(connect):
    driven = connect(tasks=60)
    served = driven.label_next()
    state = driven.settle()
    assert state["rounds"] == []
    assert state["labelled"] == 1
    assert state["unplanned"] == 0
    assert served not in [p["task"] for p in driven.queue()]


def test_after_a_round_the_stream_serves_exactly_the_windows_order(connect):
    driven = connect(tasks=120, config={"retrain_every": 1000})
    driven.label_many(12)
    driven.rank()
    window = [p["task"] for p in driven.queue()]
    assert driven.label_many(10) == window[:10]
    strategy = [p for p in driven.queue() if p["family"] == "strategy"]
    assert {p["branch"] for p in strategy} == {"margin"}
    scores = [p["score"] for p in strategy]
    assert scores == sorted(scores, reverse=True)


def test_holdouts_and_random_picks_are_blind_and_carry_over_to_the_next_window(connect):
    driven = connect(
        tasks=120,
        config={
            "retrain_every": 1000,
            "random_share": 0.3,
            "evaluation_cap": 0.6,
            "preannotate": "queue",
        },
    )
    driven.label_many(12)
    driven.rank()
    before = driven.queue()
    assert {p["family"] for p in before} == {"strategy", "random", "test", "validation"}
    state = driven.state()
    for position in before:
        prediction = stored_prediction(driven, position["task"], state["queue_version"])
        assert bool(prediction["result"]) == (not position["blind"])
        assert position["blind"] or position["family"] == "strategy"
    driven.label_many(6)
    driven.rank()
    after = driven.queue()
    carried = [p["task"] for p in before[6:] if p["family"] != "strategy"]
    kept = [p["task"] for p in after if p["task"] in carried]
    assert kept == carried
    assert driven.state()["queue_version"] != state["queue_version"]


def test_two_members_of_the_organisation_get_different_tasks(connect, second_session):
    driven = connect(tasks=60)
    window = [p["task"] for p in driven.queue()]
    mine, theirs = driven.serve()["id"], driven.serve(second_session)["id"]
    assert [mine, theirs] == window[:2]


def test_the_window_is_topped_up_before_it_runs_dry(connect):
    driven = connect(tasks=150, config={"retrain_every": 1000, "window": 12})
    for _ in range(45):
        driven.label_next()
        time.sleep(0.3)  # two labels a second: many quick annotators
    state = driven.sync()
    assert state["unplanned"] == 0
    assert state["rounds"] == []
    assert len(driven.queue()) >= 6
    assert state["labelled"] == 45


def test_learning_starts_with_the_first_labels_and_each_round_says_what_it_stands_on(connect):
    driven = connect(tasks=150, config={"retrain_every": 15})
    driven.label_many(16)
    state = driven.wait(lambda s: any(r["state"] == "done" for r in s["rounds"]))
    first = state["rounds"][0]
    assert first["labelled"] >= 15
    metrics = first["metrics"]
    # Those beyond the first unanswered one are kept back as well.
    holdouts = sum(
        metrics[role][part]
        for role in ("test", "validation")
        for part in ("labelled", "beyond_prefix")
    )
    # One position in three, and what was queued before the draw and became a hold-out by it.
    assert 4 <= holdouts <= 0.75 * first["labelled"]
    kept_back = metrics["rolling"]["labelled"] + holdouts
    near = metrics["leak_guard"]["blocked"]
    assert first["labelled"] - kept_back - near <= first["trained_on"]
    assert first["trained_on"] <= first["labelled"] - kept_back
    assert set(first["seconds"]) == {"sync", "embed", "train", "evaluate", "rank", "publish"}
    assert first["queue_version"] == state["queue_version"]


def test_a_burst_of_25_annotations_causes_one_or_two_rounds(connect):
    driven = connect(tasks=120, config={"retrain_every": 5, "window": 40})
    tasks = {p["task"]: p for p in driven.queue()[:25]}
    texts = {t["id"]: t["data"]["text"] for t in driven.session.tasks(driven.number)}
    threads = [
        threading.Thread(
            target=driven.label,
            args=(task, driven.truth[texts[task]], driven.session.with_same_token()),
        )
        for task in tasks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    driven.wait(lambda s: s["labelled"] == 25)
    state = driven.settle()
    assert 1 <= len(state["rounds"]) <= 2


def test_a_browsed_task_does_not_enter_the_queue(connect):
    driven = connect(tasks=60, config={"retrain_every": 1000})
    driven.label_many(9)
    driven.rank()
    queued = [p["task"] for p in driven.queue()]
    outside = next(t["id"] for t in driven.session.tasks(driven.number) if t["id"] not in queued)
    driven.session.request(
        "POST",
        f"/api/dm/actions?id=retrieve_tasks_predictions&project={driven.number}",
        {"selectedItems": {"all": False, "included": [outside]}},
    )
    task = driven.session.request("GET", f"/api/tasks/{outside}/")
    versions = {p["model_version"] for p in task["predictions"]}
    assert driven.state()["queue_version"] not in versions
    assert versions, "Label Studio stored no prediction of the task that was asked for"
    assert driven.serve()["id"] == queued[0]
