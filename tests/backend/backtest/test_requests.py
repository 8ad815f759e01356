"""A backtest over the API: asked for, made by real jobs, read."""

import pytest

from backend import backtest_jobs
from backend.backtest import requests
from tests.backend.backtest.test_reading import rows

SMALL = {"strategies": "margin", "seeds": 4, "batch": 10, "budget": 20, "encoder": "static"}


@pytest.fixture
def pushed(monkeypatch, settings):
    """What would go to the queue engine, which does not run here."""
    monkeypatch.setenv("ASKNEXT_DATA_DIR", str(settings.data_dir))
    waiting = []

    def push(_, identifier, batches=None):
        waiting.extend((identifier, n) for n in ([-1] if batches is None else range(batches)))

    monkeypatch.setattr(backtest_jobs, "push_backtest", push)
    return waiting


def work_off(waiting):
    while waiting:
        backtest_jobs.backtest(*waiting.pop(0))


def test_rows_are_tested_and_the_result_is_read(client, pushed):
    asked = client.post("/api/backtests", json={"rows": rows(), **SMALL})
    assert asked.status_code == 202
    url = asked.json()["url"]
    assert client.get(url).json()["state"] == "waiting"
    work_off(pushed)
    told = client.get(url).json()
    assert (told["state"], told["done"], told["total"]) == ("done", 8, 8)
    assert told["contents"] == {"done": len(rows()), "total": len(rows())}
    assert set(told["result"]["strategies"]) == {"margin", "random"}
    again = client.post("/api/backtests", json={"rows": rows(), **SMALL}).json()
    assert again["url"] == url


def test_a_project_without_labels_fails_with_its_reason(client, pushed, text_project):
    asked = client.post("/api/backtests", json={"project": 7, **SMALL}).json()
    work_off(pushed)
    told = client.get(asked["url"]).json()
    assert told["state"] == "failed"
    assert "wait until" in told["error"]
    assert text_project.label_studio_id == 7


def test_asking_again_does_not_give_the_old_result_of_other_labels(client, pushed):
    url = client.post("/api/backtests", json={"rows": rows(), **SMALL}).json()["url"]
    work_off(pushed)
    client.post("/api/backtests", json={"rows": rows(), **SMALL})
    told = client.get(url).json()
    assert (told["state"], told["result"]) == ("running", None)
    work_off(pushed)
    assert client.get(url).json()["state"] == "done"


def test_a_job_whose_worker_died_is_made_again_and_at_last_given_up(client, pushed, settings):
    asked = client.post("/api/backtests", json={"rows": rows(), **SMALL}).json()
    backtest_jobs.backtest(*pushed.pop(0))
    for _ in range(requests.MOST_ATTEMPTS):
        assert requests.attempt(settings, asked["id"], 0)  # and dies
    backtest_jobs.backtest(asked["id"], 0)
    told = client.get(asked["url"]).json()
    assert (told["state"], told["done"]) == ("failed", 0)
    assert "died 3 times" in told["error"]
    client.post("/api/backtests", json={"rows": rows(), **SMALL})
    work_off(pushed)
    assert client.get(asked["url"]).json()["state"] == "done"


def test_rows_with_paths_of_images_fail_with_the_way_to_test_them(client, pushed):
    photos = [{"image": f"/data/{n}.png", "label": "ab"[n % 2]} for n in range(60)]
    asked = client.post("/api/backtests", json={"rows": photos, "seeds": 1}).json()
    work_off(pushed)
    assert "asknext backtest --data" in client.get(asked["url"]).json()["error"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "project"),
        ({"project": 7, "rows": []}, "project"),
        ({"project": "7"}, "project"),
        ({"project": 7, "seed": 1}, "seed"),
        ({"project": 7, "seeds": 0}, "seeds"),
        ({"project": 7, "strategies": ["margn"]}, "strategies[0]"),
        ({"rows": [1]}, "rows"),
    ],
)
def test_a_wrong_request_names_its_field(client, pushed, document, field):
    answer = client.post("/api/backtests", json=document)
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert pushed == []


def test_an_unknown_backtest_is_not_found(client, settings):
    assert client.get("/api/backtests/abc").status_code == 404
    assert requests._folder(settings, "abc").exists() is False
