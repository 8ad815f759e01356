"""Late tasks: whether the pool has moved, and what the test figure is with them."""

import json

import numpy as np
import pytest

from backend.rounds import mirror
from backend.rounds.late_tasks import drift_report, supplemented
from backend.rounds.numbering import current_era
from backend.store.evaluation_tables import SplitMember
from backend.store.tables import Project, Task
from tests.backend.rounds.test_lift import Clusters


@pytest.fixture
def clusters(text_project):
    """1,200 items of a mixture, 60 of them in the test set; the draw knew them all."""
    made = Clusters(text_project)
    text_project.hold_out(test=made.ids[:60].tolist())
    with text_project.database.write() as session:
        era = current_era(session, session.get_one(Project, text_project.id))
        era.reports = {**era.reports, "last_task": int(made.ids[-1])}
    return made


def arrive(clusters, count, shift=0.0, **fields):
    """New tasks like the ones before, moved by `shift` in every direction."""
    rng = np.random.default_rng(9)
    ids = np.arange(5_000, 5_000 + count)
    points = clusters.points[rng.integers(len(clusters.points), size=count)]
    points = points + 0.02 * rng.normal(size=points.shape).astype(np.float32)
    points[:, :4] += np.float32(shift)
    project = clusters.project
    with project.database.write() as session:
        row = session.get_one(Project, project.id)
        tasks = [{"id": int(n), "data": {"text": f"Late {n}", **fields}} for n in ids]
        mirror.write_tasks(project.database, session, row, tasks)
        for task in ids.tolist():
            session.get_one(Task, (project.id, task)).role_era = row.era
    hashes = [mirror.content_hash(f"Late {n}") for n in ids]
    project.context().cache.add(hashes, points.astype(np.float32))
    return ids


def test_while_hardly_any_came_late_there_is_nothing_to_tell(clusters):
    arrive(clusters, 20)
    assert drift_report(clusters.project.context()) is None


def test_tasks_like_the_old_ones_leave_the_test_set_representative(clusters):
    arrive(clusters, 400)
    found = drift_report(clusters.project.context())
    assert found["verdict"] == "represents"
    json.dumps(found)


def test_other_tasks_are_seen_to_have_drifted(clusters):
    arrive(clusters, 400, shift=1.0)
    found = drift_report(clusters.project.context())
    assert found["verdict"] == "drifted"
    assert found["separation"]["low"] > 0.556


def test_a_new_value_of_a_field_is_a_drift_too(clusters):
    arrive(clusters, 400, scanner="new")
    found = drift_report(clusters.project.context())
    assert found["verdict"] == "drifted"
    assert "scanner" in found["text"]


def test_late_test_members_count_by_the_tasks_that_they_stand_for(clusters):
    project = clusters.project
    clusters.label(range(60, 160))
    clusters.label(range(60))
    project.train_round(1)
    context = project.context()
    assert supplemented(context, context.live_model()) is None
    ids = arrive(clusters, 400)
    with project.database.write() as session:
        for task in ids[:20].tolist():
            session.add(
                SplitMember(
                    project_id=project.id,
                    era=1,
                    task_id=task,
                    role="test",
                    u=0.1,
                    late=True,
                    drawn_at=1.0,
                )
            )
    for task in ids[:20].tolist():
        project.annotate(task, "weather")
    context = project.context()
    found = supplemented(context, context.live_model())
    frozen, late = found["frozen"], found["late"]
    assert (frozen["items"], late["items"]) == (60, 20)
    expected = (1_260 * frozen["value"] + 400 * late["value"]) / 1_660
    assert found["value"] == pytest.approx(expected, abs=0.02)
    assert found["low"] < found["value"] < found["high"]
    json.dumps(found)
