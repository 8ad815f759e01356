"""Rules by hand in Label Studio's Data Manager, and why a task is where it is."""

import json
import time

PATIENCE_SECONDS = 60.0


def sites(place):
    return {"site": ("north", "south", "east")[place % 3], "patient": f"p{place // 4}"}


def open_tab(driven, title, column, value, kind="String", operator="equal"):
    """Make a Data Manager tab as an admin does; its id."""
    made = driven.session.request(
        "POST",
        "/api/dm/views/",
        {
            "project": driven.number,
            "data": {
                "title": title,
                "filters": {
                    "conjunction": "and",
                    "items": [
                        {
                            "filter": f"filter:tasks:{column}",
                            "operator": operator,
                            "type": kind,
                            "value": value,
                        }
                    ],
                },
            },
        },
    )
    return made["id"]


def heed(driven, condition):
    """The state once AskNext, told that something happened, has seen the tabs and acted on them."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition(driven.sync()):
        assert time.monotonic() < until, driven.state()
        time.sleep(1)
    return driven.settle()


def tasks_by(driven, field, value):
    return {
        task["id"]
        for task in driven.session.tasks(driven.number)
        if task["data"].get(field) == value
    }


def test_a_pin_reaches_the_top_within_a_minute_and_an_exclusion_is_never_served(connect):
    driven = connect(
        tasks=90,
        config={"window": 20, "random_share": 0.0, "accept_no_control": True},
        fields=sites,
    )
    driven.label_many(6)
    driven.rank()
    south = tasks_by(driven, "site", "south")
    queued = {p["task"] for p in driven.queue()}
    chosen = max(
        task["id"]
        for task in driven.session.tasks(driven.number)
        if task["id"] not in south | queued
        and driven.explain(task["id"]).get("family") is None
        and driven.explain(task["id"])["state"] == "waiting"
    )
    open_tab(driven, "AskNext pin: look at this one", "id", chosen, kind="Number")
    tab = open_tab(driven, "AskNext exclude the south", "data.site", "south")
    started = time.monotonic()
    # Nothing tells AskNext: a tab sends no event.
    driven.wait(lambda _: driven.queue()[0]["task"] == chosen, PATIENCE_SECONDS)
    assert time.monotonic() - started < PATIENCE_SECONDS
    driven.wait(lambda _: not {p["task"] for p in driven.queue()} & south)
    assert driven.serve()["id"] == chosen
    rules = {rule["kind"]: rule for rule in driven.state()["rules"]}
    assert rules["pin"]["matched"] == 1
    assert rules["exclude"]["matched"] == len(south)
    explained = driven.explain(chosen)
    assert explained["branch"] == "pin"
    assert "look at this one" in explained["sentence"]
    left_out = next(iter(south - set(driven.labelled())))
    assert "excludes it" in driven.explain(left_out)["sentence"]
    # Without the tab they come back.
    driven.session.request("DELETE", f"/api/dm/views/{tab}/")
    heed(driven, lambda s: {rule["kind"] for rule in s["rules"]} == {"pin"})
    assert driven.explain(left_out)["state"] != "closed"


def test_a_boost_brings_more_of_its_tasks_and_a_tab_that_is_no_rule_is_told_of(connect):
    config = {
        "window": 30,
        "strategy": "margin",
        "random_share": 0.0,
        "accept_no_control": True,
        "holdout_rate": 0.0,
    }
    driven = connect(tasks=150, config=config, fields=sites)
    south = tasks_by(driven, "site", "south")
    driven.label_many(12)
    driven.rank()
    before = driven.queue()
    driven.session.request(
        "POST",
        "/api/dm/views/",
        {"project": driven.number, "data": {"title": "AskNext exclude", "filters": {}}},
    )
    open_tab(driven, "AskNext boost plenty", "data.site", "south")
    state = heed(driven, lambda s: len(s["rules"]) == 2)
    assert driven.queue() == before
    told = " ".join(state["warnings"])
    assert "add one to make it a rule" in told
    assert "AskNext boost 3" in told
    open_tab(driven, "AskNext boost 50 south", "data.site", "south")
    heed(driven, lambda s: 50.0 in [rule["weight"] for rule in s["rules"]])
    boosted = sum(p["task"] in south for p in driven.queue())
    assert boosted > max(sum(p["task"] in south for p in before), 20)


def test_metadata_groups_and_the_reason_in_the_tasks_data(connect, run_asknext):
    config = {
        "window": 20,
        "strategy": {"metadata_balance": {"columns": ["site"]}},
        "group_by": "patient",
        "group_limit": 1,
        "explain_field": "asknext_reason",
        "preannotate": "queue",
        # Whole patients are held out: enough of every site must be left.
        "test_size": 6,
        "validation_size": 3,
        "budget": 120,
    }

    def skewed(place):
        site = "east" if place % 10 == 0 else "south" if place % 10 in (3, 7) else "north"
        return {**sites(place), "site": site}

    driven = connect(tasks=120, config=config, fields=skewed)
    labelled = driven.label_many(6)
    driven.rank()
    queue = driven.queue()
    data = {task["id"]: task["data"] for task in driven.session.tasks(driven.number)}
    by_strategy = [p for p in queue if p["family"] == "strategy"]
    patients = [data[p["task"]]["patient"] for p in by_strategy]
    assert len(set(patients)) == len(patients) > 5
    held = driven.api.get(f"/api/projects/{driven.number}/holdout").json()["members"]
    # What is labelled already counts: the batch makes up for it.
    together = {p["task"] for p in by_strategy} | set(labelled) - {m["task"] for m in held}
    counts = [sum(data[task]["site"] == site for task in together)
              for site in ("north", "south", "east")]  # fmt: skip
    # 70% of the pool are north, 10% east. The limit a patient passes over some seats of a site, so
    # the counts are not quite equal.
    assert min(counts) >= 1
    assert counts[1] + counts[2] >= counts[0]
    for position in queue:
        reason = data[position["task"]]["asknext_reason"]
        assert position["blind"] == (reason == "This task is next in your queue.")
        if not position["blind"]:
            assert reason == driven.explain(position["task"])["sentence"]
            assert "metadata_balance" in reason
    printed = run_asknext(
        "explain", "--project", str(driven.number), "--task", str(by_strategy[0]["task"]), "--json"
    )
    assert json.loads(printed)["branch"] == "metadata_balance"
    # What AskNext writes itself changes no content: nothing is embedded again, nothing retrained.
    assert driven.state()["embedded"] == driven.state()["pool"]


def test_what_a_strategy_needs_beyond_one_model_is_made_for_it(connect):
    driven = connect(tasks=150, config={"window": 20, "retrain_every": 1000, "members": 5})
    driven.label_many(6)

    def branches(strategy, rounds=1):
        config = {**driven.state()["config"], "strategy": strategy}
        driven.api.put(f"/api/projects/{driven.number}/config", json=config).raise_for_status()
        for _ in range(rounds):
            driven.rank()
        return {p["branch"] for p in driven.queue() if p["family"] == "strategy"}

    assert branches("bald") == {"bald"}
    assert branches("temporal_output_discrepancy", rounds=2) == {"temporal_output_discrepancy"}
    assert branches({"rare_properties": {"columns": ["text:digits"]}}) == {"rare_properties"}
    # Too few labels to learn what the model gets wrong: random, and it is told.
    assert branches("predicted_loss") == {"random"}
    assert "loss-prediction" in driven.rounds()[-1]["note"]
    driven.label_many(95)
    assert branches("predicted_loss") == {"predicted_loss"}
    assert branches("auto") == {p["branch"] for p in driven.queue() if p["family"] == "strategy"}
