"""Killing and stopping parts in mid-round ends in the same labels and a valid queue."""

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

STAGES = ("sync", "train", "publish")
# More than a lease lasts here, as 20 s are where a lease lasts its usual time.
OUTAGE_SECONDS = 10


def children(parent):
    """Process ids of the direct children of a process."""
    return [int(p) for p in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def workers(asknext):
    """(worker, its work-horse or None) of every worker that serves rounds."""
    found = []
    for pid in children(asknext.process.pid):
        if "worker" in command(pid) and "asknext-round" in command(pid):
            horses = children(pid)
            found.append((pid, horses[0] if horses else None))
    return found


def signal_to(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def rounds_of(driven):
    """(stage of the running round or None, how many have ended), read from the state itself.

    The API would be too slow to meet a stage of a hundredth of a second. Other tests' projects may
    have left a round running when they were deleted.
    """
    path = driven.asknext.data_directory / "asknext.sqlite3"
    query = (
        "SELECT MAX(CASE WHEN round.state = 'running' THEN stage END),"
        " SUM(round.state = 'done') FROM round JOIN project ON project.id = round.project_id"
        " WHERE label_studio_id = ?"
    )
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
        stage, ended = connection.execute(query, (driven.number,)).fetchone()
    return stage, ended or 0


def kill_in_stage(driven, stage, rounds_before):
    """Kill worker and work-horse when the round is in `stage`; False where it ended unseen.

    The work-horse is held while the state is read: however busy the machine is, it advances by
    little between two looks.
    """
    until = time.monotonic() + 30
    while time.monotonic() < until:
        pairs = [(worker, horse) for worker, horse in workers(driven.asknext) if horse is not None]
        for _, horse in pairs:
            signal_to(horse, signal.SIGSTOP)
        running, ended = rounds_of(driven)
        if running == stage and pairs:
            for worker, horse in pairs:
                signal_to(worker, signal.SIGKILL)
                signal_to(horse, signal.SIGKILL)
            return True
        for _, horse in pairs:
            signal_to(horse, signal.SIGCONT)
        if ended > rounds_before:
            return False
        time.sleep(0.001)
    return False


def assert_valid(driven, labelled):
    """The labelled set is complete and Label Studio serves exactly the queue of the state."""
    state = driven.settle()
    assert state["labelled"] == len(labelled)
    assert state["last_error"] is None
    assert all(r["state"] == "done" for r in state["rounds"])
    numbers = [r["number"] for r in state["rounds"]]
    assert numbers == list(range(1, len(numbers) + 1))
    project = driven.session.project(driven.number)
    assert project["model_version"] == state["queue_version"]
    window = [p["task"] for p in driven.queue()]
    assert len(set(window)) == len(window) > 0
    assert not set(window) & set(labelled)
    holders = []
    for task in driven.session.tasks(driven.number):
        if task["id"] in set(window):
            detail = driven.session.request("GET", f"/api/tasks/{task['id']}/")
            holders += [
                (p["score"], task["id"])
                for p in detail["predictions"]
                if p["model_version"] == state["queue_version"]
            ]
    assert [task for _, task in sorted(holders)] == window
    assert driven.serve()["id"] == window[0]


@pytest.mark.parametrize("stage", STAGES)
def test_killing_worker_and_work_horse_in_a_stage(connect, stage):
    driven = connect(tasks=150, config={"retrain_every": 1000})
    labelled = driven.label_many(15)
    driven.sync()
    hit = False
    for _ in range(15):
        driven.settle()  # else the round that is waited for may run before it is looked at
        _, before = rounds_of(driven)
        driven.api.post(f"/api/projects/{driven.number}/rank").raise_for_status()
        hit = kill_in_stage(driven, stage, before)
        labelled.append(driven.label_next())
        driven.wait(lambda s: s["rounds"] and s["rounds"][-1]["state"] == "done")
        if hit:
            break
    assert hit, f"no round was ever seen in its stage {stage}"
    driven.sync()
    assert_valid(driven, labelled)


def test_killing_only_the_work_horse_again_and_again(connect, asknext):
    driven = connect(tasks=150, config={"retrain_every": 1000})
    labelled = driven.label_many(12)
    for pause in (0.2, 0.5, 0.9):
        driven.api.post(f"/api/projects/{driven.number}/rank").raise_for_status()
        time.sleep(pause)
        for _, horse in workers(asknext):
            if horse is not None:
                signal_to(horse, signal.SIGKILL)
    labelled.append(driven.label_next())
    driven.rank()
    driven.sync()
    assert_valid(driven, labelled)


def engine_process(asknext):
    (found,) = [p for p in children(asknext.process.pid) if "valkey" in command(p)]
    return found


def test_stopping_the_queue_engine_in_mid_round(connect, asknext):
    driven = connect(tasks=150, config={"retrain_every": 1000})
    labelled = driven.label_many(12)
    driven.api.post(f"/api/projects/{driven.number}/rank").raise_for_status()
    time.sleep(0.4)
    engine = engine_process(asknext)
    os.kill(engine, signal.SIGSTOP)
    try:
        labelled += driven.label_many(4)
        time.sleep(OUTAGE_SECONDS)
    finally:
        os.kill(engine, signal.SIGCONT)
    driven.wait(lambda s: s["labelled"] == len(labelled))
    driven.rank()
    assert_valid(driven, labelled)


def test_killing_the_queue_engine_loses_nothing(connect, asknext):
    driven = connect(tasks=100, config={"retrain_every": 1000})
    labelled = driven.label_many(6)
    signal_to(engine_process(asknext), signal.SIGKILL)
    labelled += driven.label_many(3)
    driven.wait(lambda s: s["labelled"] == len(labelled))
    driven.rank()
    assert_valid(driven, labelled)


def test_stopping_label_studio_in_mid_round(connect, asknext, label_studio):
    driven = connect(tasks=150, config={"retrain_every": 1000})
    labelled = driven.label_many(12)
    driven.api.post(f"/api/projects/{driven.number}/rank").raise_for_status()
    time.sleep(0.3)
    label_studio.server.stop()
    time.sleep(OUTAGE_SECONDS)
    label_studio.server.start()
    label_studio.server.wait_until_ready()
    labelled += driven.label_many(3)
    driven.wait(lambda s: s["labelled"] == len(labelled))
    driven.rank()
    assert_valid(driven, labelled)
    assert asknext.process.running
