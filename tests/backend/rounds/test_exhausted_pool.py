"""A pool with nothing left to choose: ranked once more after a change, and not with every sync."""

import pytest
import sqlalchemy as sa

from backend.config import QueueConfig
from backend.rounds import queue, rules, upkeep
from backend.rounds.context import ProjectContext
from backend.rounds.embed import embed
from backend.rounds.upkeep import sync_and_fill
from backend.store.tables import Task, Work
from tests.backend.text_project import TASK_IDS, text_of, topic_of


@pytest.fixture
def project(text_project, label_studio, monkeypatch):
    """Everything is labelled but the hold-outs, which are drawn after the window was published."""
    monkeypatch.setattr(rules, "LOOK_SECONDS", 0.0)
    config = QueueConfig(encoder="static", window=10, retrain_every=500, budget=5_000)
    text_project.update(config=config.model_dump(mode="json"), label_studio_url=label_studio.url)
    return text_project


@pytest.fixture
def sync(project, connect, monkeypatch):
    """Run one sync with its upkeep; how often it ranked."""
    ranked = []
    fill = upkeep.fill_window

    def counted(*arguments, **options):
        ranked.append(options["anew"])
        return fill(*arguments, **options)

    monkeypatch.setattr(upkeep, "fill_window", counted)

    def run():
        ranked.clear()
        with project.database.write() as session:
            session.execute(sa.update(Work).values(owner=None, lease_until=None))
        context = ProjectContext(project.settings, project.database, project.id, connect())
        sync_and_fill(context, project.lease("sync"))
        return len(ranked)

    return run


@pytest.fixture
def exhausted(project, sync, label_studio):
    """All is labelled, and the window in force is older than the hold-outs."""
    sync()
    assert len(label_studio.queue()) == 10
    for task_id in TASK_IDS:
        label_studio.annotate(task_id, topic_of(task_id))
    sync()
    project.hold_out(test=[41, 42], validation=[43])
    settle(sync)
    return project


def settle(sync):
    """Syncs until one ranks nothing: a few at most."""
    counts = [sync() for _ in range(4)]
    assert counts[-1] == counts[-2] == 0, counts


def test_once_everything_is_labelled_no_sync_ranks(exhausted, sync):
    with exhausted.database.read() as session:
        assert upkeep.needs_new_window(session, exhausted.row())  # it stays true
    assert [sync(), sync()] == [0, 0]


def test_a_new_task_is_queued(exhausted, sync, label_studio):
    label_studio.add_task(61, {"text": "Hail falls on the hills."})
    sync()
    assert label_studio.queue() == [61]
    embed(exhausted.context(), seconds=30.0, report=lambda **_: None)
    settle(sync)
    assert label_studio.queue() == [61]


@pytest.mark.usefixtures("exhausted")
def test_a_deleted_annotation_opens_its_task_again(sync, label_studio):
    label_studio.delete_annotation(7, 7)
    assert sync() == 1
    assert label_studio.queue() == [7]


def test_a_rule_or_another_configuration_is_tried(exhausted, sync, label_studio):
    exhausted.update(config={**exhausted.row().config, "window": 20})
    assert sync() == 1
    assert sync() == 0
    label_studio.views.append(
        {
            "id": 5,
            "data": {
                "title": "AskNext pin",
                "filters": {
                    "conjunction": "and",
                    "items": [
                        {
                            "filter": "filter:tasks:id",
                            "operator": "greater",
                            "type": "Number",
                            "value": 57,
                        }
                    ],
                },
            },
        }
    )
    assert sync() == 1
    settle(sync)


def test_what_is_left_but_blocked_is_not_ranked_again(project, sync, label_studio):
    """The copies of a test task are all that nobody labelled: no strategy may choose them."""
    without_control = {"random_share": 0.0, "accept_no_control": True}
    project.update(config={**project.row().config, **without_control})
    sync()
    project.hold_out(test=[41])
    for task_id in TASK_IDS:
        label_studio.annotate(task_id, topic_of(task_id))
    for task_id in (61, 62, 63):
        label_studio.add_task(task_id, {"text": text_of(41)})
    settle(sync)
    assert not {61, 62, 63} & set(label_studio.queue())
    with project.database.read() as session:
        assert not session.get_one(Task, (project.id, 61)).deleted_at
        assert queue.stock(session, project.row()).others == {61, 62, 63}
